"""`unclip keys`: who may use a server."""

import json
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unclip.errors import RequestError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from unclip.records.keys import Key

HomeOption = Annotated[
    Path | None, typer.Option(help="The server's folder [default: UNCLIP_HOME, or the user's data folder].")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(help="sqlite:///FILE or postgresql://USER@HOST/NAME [default: a file in --home]."),
]

app = typer.Typer(help="Make, list and revoke the keys that open a server.", rich_markup_mode=None)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is called: who or what uses it.")],
    home: HomeOption = None,
    database: DatabaseOption = None,
    scopes: Annotated[str, typer.Option(help="images, admin, or images,admin.")] = "images",
    expires_days: Annotated[
        float | None, typer.Option(min=0, max=36500, help="Days until it expires [default: never].")
    ] = None,
    images_per_minute: Annotated[
        int | None, typer.Option(min=1, help="Pictures in a minute [default: no limit].")
    ] = None,
    monthly_credits: Annotated[
        int | None, typer.Option(min=1, help="Pictures in a month [default: no limit].")
    ] = None,
    priority: Annotated[int, typer.Option(help="Of its jobs: the highest are drawn first.")] = 0,
    response_format: Annotated[
        Literal["url", "b64_json"] | None, typer.Option(help="For requests that name none [default: url].")
    ] = None,
) -> None:
    """Make a key, and print its secret, which is shown this once."""
    with _opened(home, database) as engine:
        from unclip.records.keys import Keys

        key, secret = Keys(engine).create(
            name,
            scopes=[scope.strip() for scope in scopes.split(",")],
            expires=None if expires_days is None else time.time() + 86400 * expires_days,
            images_per_minute=images_per_minute,
            monthly_credits=monthly_credits,
            priority=priority,
            response_format=response_format,
        )
        _note(engine, "key.create", key)
    until = "for good" if key.expires is None else f"until {_date(key.expires)} UTC"
    typer.echo(
        f"key {key.name} ({key.id}) is in force {until}, scopes: {', '.join(sorted(key.scopes))}.\n"
        "Clients send it as 'Authorization: Bearer KEY', or take it from OPENAI_API_KEY or UNCLIP_API_KEY.\n"
        "It is shown this once:",
        err=True,
    )
    print(secret)


@app.command("list")
def list_(
    home: HomeOption = None,
    database: DatabaseOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List all keys, revoked ones too; a secret is told by its first characters alone."""
    with _opened(home, database) as engine:
        from unclip.records.keys import Keys

        keys = Keys(engine).list()
    if as_json:
        print(json.dumps([vars(key) | {"scopes": sorted(key.scopes)} for key in keys], indent=1))
    else:
        _print(keys)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The key's name, or its id.")],
    home: HomeOption = None,
    database: DatabaseOption = None,
) -> None:
    """Put a key out of force, for good: a running server refuses it from its next request on."""
    with _opened(home, database) as engine:
        from unclip.records.keys import Keys

        key = Keys(engine).revoke(name)
        _note(engine, "key.revoke", key)
    print(f"{key.name}: revoked")


@contextmanager
def _opened(home: Path | None, database: str | None) -> Generator["Engine"]:
    """Open a server's database. Raises RequestError, also if the packages of a server are not there."""
    try:
        from unclip.records.database import open_database
        from unclip.server.home import database_url, home_folder
    except ImportError as error:
        raise RequestError(f"this needs {error.name}: pip install 'unclip[server]'") from None
    engine = open_database(database or database_url(home_folder(home), None))
    try:
        yield engine
    finally:
        engine.dispose()


def _note(engine: "Engine", action: str, key: "Key") -> None:
    from unclip.records.audit import Audit

    Audit(engine).write(action, None, None, {"key": key.id, "name": key.name, "scopes": sorted(key.scopes)})


def _print(keys: Iterable["Key"]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "key", "scopes", "in force (UTC)", "last used (UTC)", box=None)
    for key in keys:
        state = key.refusal(time.time()) or (
            "for good" if key.expires is None else f"until {_date(key.expires)}"
        )
        used = "never" if key.last_used is None else _date(key.last_used)
        table.add_row(key.name, f"{key.prefix}...", ", ".join(sorted(key.scopes)), state, used)
    Console().print(table)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
