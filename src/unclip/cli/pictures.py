"""Pictures on the command line: files, and files or sentences."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from PIL.Image import Image

PictureArgument = typer.Argument(help="A picture file.")

_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def picture_or_sentence(text: str) -> "Image | str":
    """Read a picture if there is a file of that name, or if it is plainly meant to be one; else a sentence.

    Raises DataError for a picture that is missing or broken.
    """
    from unclip.imagefiles import read_picture

    path = Path(text)
    if path.suffix.lower() in _SUFFIXES or _is_file(path):
        return read_picture(path)
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a long sentence is no file's name
        return False
