"""The record of pulled models: where they are, and the hashes of their files. Opens no network."""

import hashlib
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from unclip.checkpoints.configs import config_from_json, config_to_json, read_json, write_json
from unclip.errors import CheckpointError, RequestError

BUNDLED = Path(__file__).parent.parent / "bundled" / "model"
CATALOGUE = {  # short names
    "karlo": "kakaobrain/karlo-v1-alpha",
    "karlo-image-variations": "kakaobrain/karlo-v1-alpha-image-variations",
}
REPOSITORY = re.compile(r"(?!.*(?:--|\.\.|\.git$))\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?", re.ASCII)

Say = Callable[
    [str, int, int], None
]  # told a part of the work, how many bytes of it are done, and of how many
R = TypeVar("R")


@dataclass(frozen=True)
class PulledFile:
    """A file as the hub has it."""

    size: int
    sha256: str | None = None  # None until a small file is here: the hub does not tell


@dataclass(frozen=True)
class Pulled:
    """A model that was pulled, or begun to be."""

    repository: str
    revision: str | None  # as it was asked for
    commit: str
    licence: str
    folder: str
    files: dict[str, PulledFile]
    checked: bool  # whether all files came, with the right hashes

    @property
    def name(self) -> str:
        """What the user calls it."""
        return name_of(self.repository)

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files.values())

    @property
    def remedy(self) -> str:
        """The command that makes it whole."""
        return pull_command(self.repository, self.revision)

    @property
    def missing(self) -> list[str]:
        """The files that are not there, or not of their size."""
        return [name for name, file in self.files.items() if _size(Path(self.folder) / name) != file.size]

    @property
    def complete(self) -> bool:
        """Whether it can be read."""
        return self.checked and not self.missing


@dataclass(frozen=True)
class Accepted:
    """A licence that the user has accepted."""

    repository: str
    licence: str
    commit: str
    date: str  # YYYY-MM-DD, UTC


def repository_of(name: str) -> str:
    """Return the repository of a short name, or of its own name. Raises RequestError."""
    if name == "bundled":
        raise RequestError("bundled comes with the package: it is not pulled, verified or removed")
    if name in CATALOGUE or REPOSITORY.fullmatch(name):
        return CATALOGUE.get(name, name)
    near = get_close_matches(name.lower(), CATALOGUE) or list(CATALOGUE)
    raise RequestError(
        f"no model {name!r} is known: give {' or '.join(near)}, or OWNER/REPOSITORY of the hub"
    )


def name_of(repository: str) -> str:
    """Return a repository's short name, or its own if it has none."""
    return next((name for name, known in CATALOGUE.items() if known == repository), repository)


def pull_command(repository: str, revision: str | None = None) -> str:
    """Return what the user types to pull a model."""
    return f"unclip model pull {name_of(repository)}" + (f" --revision {revision}" if revision else "")


def pulled_folder(name: str) -> Path | None:
    """Return the folder of a pulled model, by short name or OWNER/REPOSITORY; None if there is none.

    Raises CheckpointError if the model was pulled and is not whole.
    """
    repository = CATALOGUE.get(name, name)
    pulled = read_pulled(repository) if REPOSITORY.fullmatch(repository) else None
    if pulled is None:
        return None
    _refuse_unfinished(pulled)
    if missing := pulled.missing:
        raise CheckpointError(f"{name} lacks {some(missing)} in {pulled.folder}: run {pulled.remedy}")
    return Path(pulled.folder)


def find_pulled(name: str) -> Pulled:
    """Return the record of a model. Raises RequestError if it was never pulled."""
    repository = repository_of(name)
    if (pulled := read_pulled(repository)) is None:
        raise RequestError(f"{name} is not pulled: run {pull_command(repository)}")
    return pulled


def verify(pulled: Pulled, say: Say) -> None:
    """Read every file again. Raises CheckpointError that names what is missing or changed."""
    _refuse_unfinished(pulled)
    missing = pulled.missing
    tell = counter(say, "check", pulled.size)
    changed = [
        name
        for name, file in pulled.files.items()
        if name not in missing and hash_of(Path(pulled.folder) / name, tell) != file.sha256
    ]
    if missing or changed:
        faults = [
            f"{fault}: {some(names)}"
            for fault, names in (("missing", missing), ("changed", changed))
            if names
        ]
        raise CheckpointError(
            f"{pulled.name} is not what was pulled ({'; '.join(faults)}): run {pulled.remedy}"
        )


def _refuse_unfinished(pulled: Pulled) -> None:
    if not pulled.checked:
        raise CheckpointError(f"{pulled.name} was not pulled to the end: run {pulled.remedy}")


def read_pulled(repository: str) -> Pulled | None:
    """Return the record of a repository, if it has one. Raises CheckpointError."""
    return _read(Pulled, _path("models", repository))


def all_pulled() -> list[Pulled]:
    """Return every record. Raises CheckpointError."""
    found = [_read(Pulled, path) for path in sorted((home() / "models").glob("*.json"))]
    return [pulled for pulled in found if pulled is not None]


def write_pulled(pulled: Pulled) -> None:
    """Record a model, in place of what was recorded of its repository. Raises CheckpointError."""
    _write(_path("models", pulled.repository), pulled)


def forget(pulled: Pulled) -> None:
    """Take a model off the record; a licence that was accepted stays accepted. Raises CheckpointError."""
    path = _path("models", pulled.repository)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be deleted: {error.strerror}") from None


def read_accepted(repository: str) -> Accepted | None:
    """Return what the user has accepted for a repository. Raises CheckpointError."""
    return _read(Accepted, _path("licences", repository))


def write_accepted(accepted: Accepted) -> None:
    """Record that a licence was accepted. Raises CheckpointError."""
    _write(_path("licences", accepted.repository), accepted)


def home() -> Path:
    """Return the folder of the records: UNCLIP_HOME, or the user's data folder."""
    from platformdirs import user_data_path

    given = os.environ.get("UNCLIP_HOME")
    return Path(given) if given else user_data_path("unclip", appauthor=False)


def hash_of(path: Path, tell: Callable[[int], None]) -> str | None:
    """Return a file's SHA-256, or None if it cannot be read; `tell` is told bytes as they are read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                tell(len(chunk))
    except OSError:
        return None
    return digest.hexdigest()


def counter(say: Say, part: str, of: int) -> Callable[[int], None]:
    """Return a function that is told steps in bytes, and says how far they have come."""
    done = 0

    def tell(step: int) -> None:
        nonlocal done
        done += step
        say(part, done, of)

    return tell


def some(names: Collection[str]) -> str:
    """Return a few names, and how many more there are."""
    first = list(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _path(kind: str, repository: str) -> Path:
    return home() / kind / f"{repository.replace('/', '--')}.json"  # no repository's name has "--"


def _read(record: type[R], path: Path) -> R | None:
    if not path.exists():
        return None
    try:
        return config_from_json(record, read_json(path), str(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error}: delete that file, and pull the model again") from None


def _write(path: Path, record: Any) -> None:
    """Write a record whole or not at all, one file each, so that two pulls do not meet."""
    part = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(part, config_to_json(record))
        part.replace(path)
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}"
        raise CheckpointError(f"{reason}: mend that, or set UNCLIP_HOME to another folder") from None
