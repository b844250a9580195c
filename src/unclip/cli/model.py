"""`unclip model`: look at models, and make them of runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from unclip.system import System

app = typer.Typer(help="Look at models, and make them of runs.", rich_markup_mode=None)


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

    from unclip.checkpoints.store import named_stages

    def count(network: Any) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    stages = {
        name: {
            "parameters": count(stage.network),
            **asdict(stage.process.config),
            **asdict(stage.defaults),
        }
        for name, stage in named_stages(system).items()
    }
    card = system.card
    return {
        "name": card.name,
        "licence": card.licence,
        "training_data": list(card.training_data),
        "words": len(card.words),
        "sizes": list(system.sizes),
        "default_quality": system.default_quality,
        "stages": {"clip": {"parameters": count(system.clip)}, **stages},
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
