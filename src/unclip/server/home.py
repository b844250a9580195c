"""A server's own folder: its database, its pictures, its certificates."""

from pathlib import Path
from urllib.parse import quote

from unclip.checkpoints.pulled import home
from unclip.errors import RequestError


def home_folder(given: Path | None) -> Path:
    """Return the server's folder, made if it is not there, for this user alone.

    It is the one given, UNCLIP_HOME, or the user's data folder. Raises RequestError if it cannot be made.
    """
    folder = (home() if given is None else given).absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{folder} cannot be made ({error.strerror}): give another with --home") from error
    return folder


def database_url(home: Path, given: str | None) -> str:
    """Return the URL of the database: the one given, or of a file in the server's folder."""
    return f"sqlite:///{quote(str(home / 'unclip.db'))}" if given is None else given


def store_url(home: Path, given: str | None) -> str:
    """Return where the pictures are: the place given, or a folder in the server's."""
    return str(home / "pictures") if given is None else given
