"""`unclip world`: the picture world of the bundled model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unclip.cli.source import DataOption

app = typer.Typer(help="The picture world that the bundled model knows.", rich_markup_mode=None)


@app.command()
def preview(
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture file to write.")] = Path("world.png"),
    count: Annotated[int, typer.Option(help="How many scenes.")] = 24,
    size: Annotated[int, typer.Option(help="Pixels a side of each.")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed shows other scenes.")] = 0,
    concepts: Annotated[int, typer.Option(help="Kinds of things.")] = 60,
    split: Annotated[
        Literal["train", "heldout"], typer.Option(help="heldout: combinations kept from training.")
    ] = "train",
    data: Annotated[Path | None, DataOption] = None,
) -> None:
    """Write a contact sheet of scenes with their captions."""
    from unclip.cli.source import data_folder
    from unclip.imagefiles import save
    from unclip.world import Sprites, World, WorldConfig
    from unclip.world.preview import sheet

    world = World(Sprites.load(data_folder(data)), seed, WorldConfig(concepts=concepts, split=split))
    save(sheet(world, count, size), out, {"seed": seed, "scenes": count}, "composite")
    print(out)


@app.command()
def pack(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    size: Annotated[int, typer.Option(help="Pixels a side of the drawings.")] = 128,
    max_mib: Annotated[float, typer.Option(help="Room for all of it.")] = 24,
    concepts: Annotated[int, typer.Option(help="Kinds of things.")] = 60,
    data: Annotated[Path | None, DataOption] = None,
) -> None:
    """Write a small copy of the data, to travel light."""
    from unclip.cli.source import data_folder
    from unclip.world.pack import pack as write

    write(data_folder(data), out, size, max_mib, concepts)
    print(out)


@app.command()
def build(
    clones: Annotated[
        Path, typer.Argument(help="Folder of local clones of the repositories in data/sources.toml.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
) -> None:
    """Make the data from clones of its source repositories."""
    from unclip.world.build import build as write

    write(clones, out)
    print(out)
