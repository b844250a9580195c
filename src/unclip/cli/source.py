"""Where training pictures come from: the world's art, shards, or a folder of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from unclip.errors import DataError

if TYPE_CHECKING:
    from unclip.data.example import Pictures
    from unclip.world import WorldConfig

DataOption = typer.Option(
    envvar="UNCLIP_DATA",
    help="The world's art, tar shards, or a folder of captioned pictures [default: a sample of the art].",
)


def data_folder(path: Path | None) -> Path:
    """Return the folder asked for, or the art in a source checkout. Raises DataError if there is none."""
    if path is not None:
        return path
    sample = Path(__file__).parents[3] / "data" / "sample"
    if not sample.is_dir():
        raise DataError("no training pictures: name a folder with --data or UNCLIP_DATA")
    return sample


def open_source(path: Path | None, seed: int, config: "WorldConfig") -> tuple["Pictures", str]:
    """Return the pictures of a folder, and what they are: a world if it holds the art. Raises DataError."""
    from unclip.data.pictures import open_pictures
    from unclip.world import Sprites, World

    folder = data_folder(path)
    if Sprites.here(folder):
        return World(Sprites.load(folder), seed, config), f"world of {config.concepts} concepts, seed {seed}"
    return open_pictures(folder, seed), folder.name
