"""`unclip model pull`, `list`, `verify` and `remove`: models of the Hugging Face Hub."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unclip.checkpoints.cache import Offer

NameArgument = Annotated[
    str, typer.Argument(help="karlo, karlo-image-variations, or OWNER/REPOSITORY of the Hugging Face Hub.")
]


def pull(
    name: NameArgument,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit [default: main].")] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the model's licence without being asked.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Open no network: take the model that is in the cache.")
    ] = False,
) -> None:
    """Download a model from the Hugging Face Hub, check it, and print its folder."""
    from unclip.checkpoints import hub
    from unclip.checkpoints.cache import adopt, cached, is_offline
    from unclip.checkpoints.pulled import repository_of
    from unclip.cli.progress import watch_parts

    repository = repository_of(name)
    if is_offline() or offline:
        find, take = cached, adopt
    else:
        find, take = hub.offered, hub.pull
    offer = find(repository, revision)
    _accept(offer, accept_licence)
    with watch_parts(in_bytes=True) as say:
        folder = take(offer, say)
    print(folder)


def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the models that are here: the bundled one and those that were pulled."""
    rows = [_bundled(), *_pulled()]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print(rows)


def verify(name: NameArgument) -> None:
    """Read every file of a pulled model again and compare its hash."""
    from unclip.checkpoints.pulled import find_pulled
    from unclip.checkpoints.pulled import verify as check
    from unclip.cli.progress import watch_parts

    pulled = find_pulled(name)
    with watch_parts(in_bytes=True) as say:
        check(pulled, say)
    print(f"{name}: OK, {len(pulled.files)} files, {_gigabytes(pulled.size)}")


def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a pulled model from the Hugging Face cache, for every program."""
    from unclip.checkpoints.cache import remove as delete
    from unclip.checkpoints.pulled import find_pulled, forget
    from unclip.errors import RequestError

    pulled = find_pulled(name)
    if not yes:
        if not _is_terminal():
            raise RequestError(f"{name} would be deleted from {pulled.folder}: give --yes to do so")
        if not _says_yes(f"Delete {name}, {_gigabytes(pulled.size)}, from the Hugging Face cache?"):
            raise typer.Abort
    freed = delete(pulled)
    forget(pulled)
    print(f"{name}: removed, {_gigabytes(freed)} freed")


@dataclass(frozen=True)
class _Row:
    """A model in the list."""

    name: str
    repository: str | None
    commit: str | None
    size: int  # bytes
    licence: str
    folder: str
    complete: bool


def _bundled() -> _Row:
    from unclip.checkpoints.pulled import BUNDLED

    size = sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file())
    card = json.loads((BUNDLED / "system.json").read_text(encoding="utf-8"))["card"]
    return _Row("bundled", None, None, size, card["licence"], str(BUNDLED), True)


def _pulled() -> list[_Row]:
    from unclip.checkpoints.pulled import all_pulled

    return [
        _Row(
            model.name,
            model.repository,
            model.commit,
            model.size,
            model.licence,
            model.folder,
            model.complete,
        )
        for model in all_pulled()
    ]


def _print(rows: list[_Row]) -> None:
    """Print a block of lines for each model: folders are too long for a table."""
    for row in rows:
        print(
            f"{row.name}: {_gigabytes(row.size)}, {row.licence}" + ("" if row.complete else ", not complete")
        )
        if row.repository and row.commit:
            print(f"  {row.repository} at {row.commit[:7]}")
        print(f"  {row.folder}")


def _accept(offer: "Offer", accepted: bool) -> None:
    """Show what is to come, and have the user accept its licence once."""
    from datetime import UTC, datetime

    from unclip.checkpoints.pulled import Accepted, read_accepted, write_accepted
    from unclip.errors import RequestError

    known = read_accepted(offer.repository)
    agreed = known is not None and known.licence == offer.licence
    licence = f"{offer.licence}: read {offer.page}"
    if not (agreed or accepted or _is_terminal()):
        raise RequestError(f"licence of {offer.repository}: {licence}, then accept it with --accept-licence")
    _show(offer, licence)
    if agreed:
        return
    changed = f"It was {known.licence} before. " if known else ""
    if not accepted and not _says_yes(f"{changed}Do you accept this licence?"):
        raise RequestError(f"the licence of {offer.repository} is not accepted: nothing is downloaded")
    today = datetime.now(UTC).date().isoformat()
    write_accepted(Accepted(offer.repository, offer.licence, offer.commit, today))


def _show(offer: "Offer", licence: str) -> None:
    from unclip.checkpoints.pulled import name_of

    to_come = offer.size - offer.size_here
    size = f"{_gigabytes(offer.size)} in {len(offer.files)} files"
    if to_come != offer.size:
        size += f", {_gigabytes(to_come)} of it to download" if to_come else ", all of it here"
    facts = {
        "name": name_of(offer.repository),
        "repository": offer.repository,
        "commit": offer.commit,
        "size": size,
        "licence": licence,
    }
    for fact, value in facts.items():
        typer.echo(f"{fact}: {value}", err=True)


def _is_terminal() -> bool:
    return bool(sys.stdin) and sys.stdin.isatty()


def _says_yes(question: str) -> bool:
    """Ask on standard error: standard output is the folder's alone."""
    from rich.console import Console
    from rich.prompt import Confirm
    from rich.text import Text

    return Confirm.ask(Text(question), console=Console(stderr=True), default=False)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
