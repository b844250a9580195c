"""`unclip model`: look at models, and make them of runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unclip.cli import exporting, hub, importing
from unclip.cli.models import DeviceOption
from unclip.cli.source import DataOption

if TYPE_CHECKING:
    from unclip.system import System

app = typer.Typer(
    help="Look at models, get them from elsewhere, and make them of runs.", rich_markup_mode=None
)
app.command()(hub.pull)
app.command("list")(hub.list_)
app.command()(hub.verify)
app.command()(hub.remove)
app.command("import")(importing.import_)
app.command("export")(exporting.export)


@app.command()
def info(
    model: Annotated[Path | None, typer.Argument(help="A model folder [default: the bundled model].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a model's stages, parameters, licence, training data and metrics."""
    from unclip.checkpoints.load import load, model_folder
    from unclip.checkpoints.store import fingerprint

    facts = _facts(load(model, device="cpu")) | {"hash": fingerprint(model_folder(model))}
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        _print(facts)


def _facts(system: "System") -> dict[str, Any]:
    from dataclasses import asdict

    from unclip.checkpoints.store import named_networks, named_stages

    def count(network: Any) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    stages: dict[str, dict[str, Any]] = {
        name: {"parameters": count(network)} for name, network in named_networks(system).items()
    }
    for name, stage in named_stages(system).items():
        stages[name] |= {**asdict(stage.process.config), **asdict(stage.defaults)}
    if (prior := system.prior_ar) is not None:
        kept = prior.pca.kept_variance(prior.config.components)
        stages["prior_ar"] |= {"components": prior.config.components, "kept_variance": kept}
    card = system.card
    return {
        "name": card.name,
        "licence": card.licence,
        "training_data": list(card.training_data),
        "words": len(card.words),
        "sizes": list(system.sizes),
        "default_quality": system.default_quality,
        "stages": stages,
        "metrics": card.metrics,
    }


def _print(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name in ("name", "licence", "training_data", "words", "sizes", "default_quality", "hash"):
        value = facts[name]
        console.print(
            f"{name.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        )
    columns = ("parameters", "schedule", "prediction", "sampler", "num_steps", "guidance_scale")
    table = Table("stage", *(column.split("_")[-1] for column in columns), box=None)
    for name, stage in facts["stages"].items():
        table.add_row(
            name, f"{stage['parameters']:,}", *(str(stage.get(column, "")) for column in columns[1:])
        )
    console.print(table)
    if "prior_ar" in facts["stages"]:
        prior = facts["stages"]["prior_ar"]
        console.print(
            f"prior_ar: {prior['components']} components keep {prior['kept_variance']:.2%} of the variance"
        )
    for name, value in facts["metrics"].items():
        console.print(f"{name}: {value:g}")


@app.command()
def assemble(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, one per stage, then the folder to write.")],
    name: Annotated[str, typer.Option(help="What the model is called.")] = "unclip",
    licence: Annotated[str, typer.Option(help="Of the model's weights.")] = "unspecified",
    base: Annotated[
        Path | None, typer.Option("--from", help="A model to take the other stages from.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Store large weights in one byte each.")] = False,
    ema: Annotated[
        float | None, typer.Option(help="Relative width of the averages, as 0.05 [default: the widest].")
    ] = None,
    guidance_scale: Annotated[
        float | None, typer.Option(help="The decoder's default [default: that of its run].")
    ] = None,
    default_quality: Annotated[
        Literal["draft", "standard", "best"] | None,
        typer.Option(help="Of pictures that ask for none [default: that of the model taken from, or best]."),
    ] = None,
) -> None:
    """Make a model folder of runs: unclip model assemble RUN... OUT."""
    from unclip.checkpoints.load import model_folder
    from unclip.errors import RequestError
    from unclip.training.assemble import assemble as make

    *sources, out = runs
    if not sources:
        raise RequestError("name at least one run folder, then the folder to write")
    make(
        sources,
        out,
        name=name,
        licence=licence,
        base=base and model_folder(base),
        int8=int8,
        default_quality=default_quality,
        ema=ema,
        guidance_scale=guidance_scale,
        warn=lambda text: typer.echo(text, err=True),
    )
    print(out)


@app.command()
def analytic(
    model: Annotated[Path, typer.Argument(help="A model folder, or bundled.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    data: Annotated[Path | None, DataOption] = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures to measure on.")] = 512,
    points: Annotated[int, typer.Option(min=2, help="Timesteps to measure at.")] = 64,
    device: DeviceOption = "auto",
) -> None:
    """Copy a model, its prior's noise measured: that prior can be sampled by Analytic-DPM."""
    from unclip.checkpoints.load import load, model_folder
    from unclip.cli.progress import watch_parts
    from unclip.cli.source import learned_pictures
    from unclip.training.analytic import check_free, measure_moments, write_measured
    from unclip.training.conditions import TextConditions

    check_free(out)
    system = load(model, stages=["prior"], device=device)
    assert system.prior is not None
    pictures, conditions = learned_pictures(data, system.card), TextConditions(system.clip, system.tokenizer)
    with watch_parts() as say:
        moments = measure_moments(system.prior, conditions, pictures, count, points, say)
    write_measured(model_folder(model), out, moments)
    print(out)
