"""Where training pictures come from: the world's art, shards, or a folder of pictures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from unclip.errors import DataError, RequestError

if TYPE_CHECKING:
    from unclip.data.example import Pictures
    from unclip.system import Card
    from unclip.world import World, WorldConfig

DataOption = typer.Option(
    envvar="UNCLIP_DATA",
    help="The world's art, tar shards, or a folder of captioned pictures [default: a sample of the art].",
)

StylesOption = typer.Option(help="Ways of drawing that the world shows, of 3d, flat, cartoon and blob.")
VariationOption = typer.Option(
    min=0, max=1, help="Of place, size, pose and shade in the world, which no caption names; 1 is usual."
)
ObjectsOption = typer.Option(
    help="How often the world's scenes have one, two, ... five objects, as 0.9,0.1 [default: the world's]."
)


def world_config(concepts: int, styles: str, variation: float, objects: str | None = None) -> "WorldConfig":
    """Return what the world shows.

    Raises RequestError for a style that it does not have, and for shares of objects that are none.
    """
    from unclip.world import WorldConfig
    from unclip.world.words import STYLES

    named = tuple(style for style in STYLES if style in styles.split(","))
    if len(named) != len(styles.split(",")):
        raise RequestError(f"styles {styles!r} are not all, and once each, of {', '.join(STYLES)}")
    config = WorldConfig(concepts=concepts, styles=named, variation=variation)
    return replace(config, objects=_shares(objects, len(config.objects))) if objects else config


def _shares(text: str, count: int) -> tuple[float, ...]:
    """Read up to `count` shares; those left out are 0."""
    try:
        shares = [float(share) for share in text.split(",")]
    except ValueError:
        shares = []
    if not 0 < len(shares) <= count or min(shares) < 0 or not 0 < sum(shares) < math.inf:
        raise RequestError(f"objects {text!r} are not up to {count} shares, as 0.9,0.1")
    return (*shares, *[0.0] * (count - len(shares)))


def learned_world(card: "Card") -> tuple["WorldConfig", int]:
    """Return the world that a model's decoder was trained on, with its seed.

    Raises RequestError for a model of other pictures.
    """
    from unclip.world import told

    stage = "decoder: "
    lines = [line.removeprefix(stage) for line in card.training_data if line.startswith(stage)]
    world = told(lines[-1]) if lines else None
    if world is None:
        said = repr(lines[-1]) if lines else "no decoder"
        raise RequestError(f"{card.name} did not learn to draw from the world's scenes, but from {said}")
    return world


def open_world(path: Path | None, config: "WorldConfig", seed: int) -> "World":
    """Return a world of drawn scenes. Raises DataError for a folder without its art."""
    from unclip.world import Sprites, World

    folder = data_folder(path)
    if not Sprites.here(folder):
        raise DataError(f"{folder} does not hold the world's art: name it with --data")
    return World(Sprites.load(folder), seed, config)


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
    from unclip.world import Sprites, World, described

    folder = data_folder(path)
    if Sprites.here(folder):
        return World(Sprites.load(folder), seed, config), described(config, seed)
    return open_pictures(folder, seed), folder.name


def learned_pictures(data: Path | None, card: "Card") -> "Pictures":
    """Return a folder's pictures; if it holds the world's art, the scenes that the model learned from.

    Raises RequestError if that art is not what the model learned from.
    """
    from dataclasses import replace

    from unclip.world import Sprites, WorldConfig

    folder, config, seed = data_folder(data), WorldConfig(), 0
    if Sprites.here(folder):
        config, seed = learned_world(card)
    return open_source(folder, seed, replace(config, photographs=0.0))[0]
