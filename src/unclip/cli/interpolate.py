"""`unclip interpolate` and `unclip mix`: between pictures and sentences."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unclip.cli.models import ModelChoice, takes_model
from unclip.cli.numbers import numbers
from unclip.cli.output import (
    CountOption,
    GridOption,
    JsonOption,
    OutOption,
    RowOption,
    SeedOption,
    SizeOption,
    TrajectoryOption,
)
from unclip.cli.pictures import picture_or_sentence

if TYPE_CHECKING:
    from PIL.Image import Image

PartArgument = typer.Argument(help="A picture file, or a sentence.")
GuidanceOption = typer.Option(help="How much the content is stressed; 1 is off [default: the model's].")


@takes_model
def interpolate(
    a: Annotated[str, PartArgument],
    b: Annotated[str, PartArgument],
    steps: Annotated[int, typer.Option(help="Pictures, the two ends included.")] = 8,
    noise: Annotated[
        Literal["inverted", "fixed"],
        typer.Option(
            help="inverted: from one's noise to the other's, so that the ends come back; fixed: one for all."
        ),
    ] = "inverted",
    size: SizeOption = None,
    seed: SeedOption = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="1 is off [default: the model's; 1 from the noise of a picture]."),
    ] = None,
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    animation: RowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the way from one picture or sentence to another."""
    from unclip.cli.output import Drawing, Output, deliver, random_seed
    from unclip.pipelines.given import without_pictures
    from unclip.pipelines.interpolation import Interpolation, check_interpolation, interpolation

    parts = (picture_or_sentence(a), picture_or_sentence(b))
    request = Interpolation(*parts, steps, noise, random_seed(seed), size, guidance_scale)
    system = model.load()
    request = check_interpolation(system, request)
    drawing = Drawing(
        lambda: interpolation(system, request),
        f"{_name(a, parts[0])}-to-{_name(b, parts[1])}",
        [f"{k:02}" for k in range(steps)],
        {"task": "interpolation", **without_pictures(request), "a": a, "b": b},
        [{"theta": k / (steps - 1)} for k in range(steps)],
        sentences=[part for part in parts if isinstance(part, str)],
    )
    deliver(system, model, drawing, Output(out, grid, as_json, animation, trajectory=False))


def _name(part: str, read: "Image | str") -> str:
    from unclip.cli.output import slug

    return slug(part if isinstance(read, str) else Path(part).stem)[:30]


@takes_model
def mix(
    parts: Annotated[list[str], PartArgument],
    weights: Annotated[
        str | None, typer.Option(help="One for each, in proportion, as 2,1,1 [default: all alike].")
    ] = None,
    n: CountOption = 1,
    size: SizeOption = None,
    seed: SeedOption = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the decoder [default: the model's].")] = None,
    guidance_scale: Annotated[float | None, GuidanceOption] = None,
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    animation: TrajectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the weighted mean of several pictures and sentences."""
    from unclip.cli.output import Drawing, Output, by_seed, deliver, random_seed
    from unclip.pipelines.given import without_pictures
    from unclip.pipelines.interpolation import Mix, check_mix
    from unclip.pipelines.interpolation import mix as plan

    read = tuple(picture_or_sentence(part) for part in parts)
    request = Mix(read, numbers("weights", weights), n, random_seed(seed), size, guidance_scale, steps)
    system = model.load()
    request = check_mix(system, request)
    drawing = Drawing(
        lambda: plan(system, request),
        "mix",
        [str(request.seed + k) for k in range(n)],
        {"task": "mix", **without_pictures(request), "parts": parts},
        by_seed(request.seed, n),
        sentences=[part for part in read if isinstance(part, str)],
    )
    deliver(system, model, drawing, Output(out, grid, as_json, animation))
