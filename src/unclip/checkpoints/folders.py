"""New folders, which appear when they are whole and not before."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from unclip.errors import CheckpointError, RequestError

Say = Callable[[str, int, int], None]  # is told a part's name, how much of it is done, and of how much


def check_free(out: Path) -> None:
    """Raise RequestError if something other than an empty folder is in the place of a new one."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise RequestError(f"{out} is there already: choose another folder")


@contextmanager
def new_folder(out: Path) -> Generator[Path]:
    """Give a folder beside `out` to be filled: it takes its place if nothing went wrong, or else is removed.

    Raises CheckpointError if it cannot be written.
    """
    place = out.absolute()
    partial = place.with_name(f"{place.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        if place.is_dir():  # perhaps the one that the user is in, and so no other may take its place
            for path in partial.iterdir():
                path.rename(place / path.name)
        else:
            partial.rename(place)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{out} cannot be written ({error}): free space, or choose another folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
