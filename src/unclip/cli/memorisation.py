"""`unclip memorisation`: whether a model repeats its training pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip.cli.source import DataOption, StylesOption, VariationOption
from unclip.errors import DataError, RequestError

if TYPE_CHECKING:
    from unclip.data.pictures import CaptionedPictures
    from unclip.evaluation.memorisation import Memorisation, Search
    from unclip.system import Card
    from unclip.world import World, WorldConfig


def memorisation(
    model: Annotated[Path | None, typer.Option(help="A model folder [default: the bundled model].")] = None,
    data: Annotated[Path | None, DataOption] = None,
    samples: Annotated[int, typer.Option(min=1, help="Pictures to draw.")] = 1_000,
    training: Annotated[int, typer.Option(min=50, help="Training pictures to look through.")] = 10_000,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder of the pictures, sheets and histograms [default: memorisation-MODEL];"
            " pictures that are there are kept.",
        ),
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first picture; each of the others has the next one.")] = 0,
    concepts: Annotated[int, typer.Option(help="Kinds of things that the model was trained on.")] = 60,
    styles: Annotated[str, StylesOption] = "3d,flat,cartoon,blob",
    variation: Annotated[float, VariationOption] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Look for a model's pictures among those of its training, beside fresh renders of the same sentences."""
    from dataclasses import asdict

    from unclip.checkpoints.load import load, model_folder
    from unclip.checkpoints.store import fingerprint
    from unclip.cli.progress import watch_parts
    from unclip.cli.source import world_config
    from unclip.evaluation.draw import Drawn
    from unclip.evaluation.judges.store import load_judges
    from unclip.evaluation.memorisation import Search, suite_name, table
    from unclip.evaluation.memorisation import memorisation as searched
    from unclip.imagefiles import check_writable
    from unclip.pipelines.text_to_image import TextToImage, checked

    if as_json is not None:
        check_writable(as_json)
    system = load(model, device=device)
    size = min(system.sizes, default=0)
    checked(system, TextToImage("a cat", size=size, seed=seed))
    config, world_seed = _learned_from(system.card, world_config(concepts, styles, variation))
    world, heldout = _open(data, config, world_seed)
    mark = fingerprint(model_folder(model))
    folder = out or Path(f"memorisation-{mark}")
    search = Search(world, training, load_judges().features, folder, heldout)
    about = Drawn(f"{system.card.name} ({mark})", suite_name(world), seed, size, 1, {})
    with watch_parts() as say:
        report = searched(system, search, samples, about, say)
    if as_json is not None:
        as_json.write_text(json.dumps(asdict(report), indent=1), "utf-8")
    _exhibit(report, search)
    print(table(report))


def _learned_from(card: "Card", asked: "WorldConfig") -> "tuple[WorldConfig, int]":
    """Return the world of the decoder's training, with its seed.

    Raises RequestError unless that is the world asked for, but for photographs, which the card tells of.
    """
    from dataclasses import replace

    from unclip.world import described, told

    stage = "decoder: "
    said = next((line for line in card.training_data if line.startswith(stage)), "decoder: nothing")
    photographs, seed = told(said.removeprefix(stage)) or (0.0, 0)
    config = replace(asked, photographs=photographs)
    if said != stage + described(config, seed):
        raise RequestError(
            f"{card.name} was trained on {said!r}, not on {described(config, seed)!r}:"
            " name its world with --concepts, --styles and --variation; models of other pictures have none"
        )
    return config, seed


def _open(data: Path | None, config: "WorldConfig", seed: int) -> "tuple[World, CaptionedPictures | None]":
    """Return a world, and photographs of its kind that it never shows. Raises DataError."""
    from unclip.cli.source import data_folder
    from unclip.world import Sprites, World, load_photographs

    folder = data_folder(data)
    if not Sprites.here(folder):
        raise DataError(f"{folder} does not hold the world's art: name it with --data")
    sprites = Sprites.load(folder)
    if not config.photographs:
        return World(sprites, seed, config), None
    trained, heldout = (load_photographs(folder, seed, split) for split in ("train", "heldout"))
    return World(sprites, seed, config, trained), heldout


def _exhibit(report: "Memorisation", search: "Search") -> None:
    """Write the worst cases, and the histograms where there is something to plot them with."""
    from unclip.evaluation.exhibits import plot, side_by_side
    from unclip.imagefiles import save

    for name, near in report.nearness.items():
        about = {"model": report.model, "measure": name, "training_pictures": report.training}
        sheet = side_by_side(near.worst, search.folder, search.training)
        save(sheet, search.folder / f"worst-{name}.png", about, "compositeWithTrainedAlgorithmicMedia")
    try:
        plot(report.nearness, search.folder / "distances.svg")
    except ModuleNotFoundError as error:
        typer.echo(f"no histograms ({error}): pip install matplotlib", err=True)
