"""`unclip evaluate`: what a model draws right, by WorldEval."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unclip.cli.models import DeviceOption
from unclip.cli.source import DataOption
from unclip.errors import RequestError

if TYPE_CHECKING:
    from unclip.evaluation.judges.store import Judges
    from unclip.world import World


def evaluate(
    suite: Annotated[
        Literal["quick", "full"],
        typer.Option(help="quick: 280 pictures, some minutes; full: 5,600, and it can be resumed."),
    ] = "quick",
    model: Annotated[Path | None, typer.Option(help="A model folder [default: the bundled model].")] = None,
    data: Annotated[Path | None, DataOption] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Folder of the pictures [default: worldeval-SUITE-MODEL]; what is there is kept.",
        ),
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")
    ] = None,
    size: Annotated[int, typer.Option(help="Pixels a side of the pictures.")] = 256,
    steps: Annotated[int | None, typer.Option(help="Steps of the decoder [default: the model's].")] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="Of the decoder; 1 is off [default: the model's].")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm, ddim or dpm++ [default: the model's].")] = None,
    quality: Annotated[
        Literal["draft", "standard", "best"] | None,
        typer.Option(help="Which decoder draws [default: the model's]."),
    ] = None,
    prior: Annotated[
        Literal["diffusion", "ar"] | None,
        typer.Option(help="Which prior draws the image embedding [default: the model's]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first picture; each of the others has the next one.")] = 0,
    concepts: Annotated[
        int | None, typer.Option(help="Kinds of things to ask for [default: those of the model's training].")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Draw WorldEval's sentences and have trained judges look at the pictures."""
    from dataclasses import asdict, replace

    from unclip.checkpoints.load import load, model_folder
    from unclip.checkpoints.store import fingerprint
    from unclip.cli.progress import watch_parts
    from unclip.cli.source import learned_world, open_world
    from unclip.evaluation.draw import Drawn
    from unclip.evaluation.evaluate import SUITES, Bench
    from unclip.evaluation.evaluate import evaluate as evaluated
    from unclip.evaluation.judges.store import load_judges
    from unclip.evaluation.report import table
    from unclip.imagefiles import check_writable
    from unclip.pipelines.text_to_image import TextToImage, checked

    asked = {
        "steps": steps,
        "guidance_scale": guidance_scale,
        "sampler": sampler,
        "quality": quality,
        "prior": prior,
    }
    settings = {name: value for name, value in asked.items() if value is not None}
    if as_json is not None:
        check_writable(as_json)
    system = load(model, device=device)
    checked(system, TextToImage("a cat", size=size, **settings))  # pyright: ignore[reportArgumentType]
    config, world_seed = learned_world(system.card)
    world = open_world(
        data, replace(config, photographs=0.0, concepts=concepts or config.concepts), world_seed
    )
    judges = load_judges()
    _check_known(judges, world)
    mark = fingerprint(model_folder(model))
    drawn = Drawn(f"{system.card.name} ({mark})", suite, seed, size, SUITES[suite].per_sentence, settings)
    folder = out or Path(f"worldeval-{suite}-{mark}")
    bench = Bench(SUITES[suite], world, judges, folder)
    with watch_parts() as say:
        report = evaluated(system, bench, drawn, say)
    if as_json is not None:
        as_json.write_text(json.dumps(asdict(report) | {"overall": report.overall}, indent=1), "utf-8")
    print(table(report))


def _check_known(judges: "Judges", world: "World") -> None:
    """Raise RequestError for a world with things that the judges cannot name."""
    from unclip.world.concepts import listed

    known = judges.detector.config.concepts
    unknown = {concept.name for concept in listed()[: world.config.concepts]} - set(known)
    if unknown:
        raise RequestError(
            f"the judges know {len(known)} kinds of things, but not {min(unknown)!r}:"
            " ask for fewer --concepts, or train judges that know more (runs/judges)"
        )
