"""`unclip memorisation`: whether a model repeats its training pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unclip.cli.models import DeviceOption
from unclip.cli.source import DataOption

if TYPE_CHECKING:
    from unclip.data.pictures import CaptionedPictures
    from unclip.evaluation.memorisation import Memorisation, Search
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
    device: DeviceOption = "auto",
) -> None:
    """Look for a model's pictures among those of its training, beside fresh renders of the same sentences."""
    from dataclasses import asdict

    from unclip.checkpoints.load import load, model_folder
    from unclip.checkpoints.store import fingerprint
    from unclip.cli.progress import watch_parts
    from unclip.cli.source import learned_world
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
    world, heldout = _open(data, *learned_world(system.card))
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


def _open(data: Path | None, config: "WorldConfig", seed: int) -> "tuple[World, CaptionedPictures | None]":
    """Return a world, and photographs of its kind that it never shows. Raises DataError."""
    from dataclasses import replace

    from unclip.cli.source import data_folder, open_world
    from unclip.world import World, load_photographs

    drawn = open_world(data, replace(config, photographs=0.0), seed)
    if not config.photographs:
        return drawn, None
    trained, heldout = (load_photographs(data_folder(data), seed, split) for split in ("train", "heldout"))
    return World(drawn.sprites, seed, config, trained), heldout


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
