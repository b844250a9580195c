"""`unclip diff`: a picture, changed by the difference of two sentences."""

from pathlib import Path
from typing import Annotated

import typer

from unclip.cli.models import ModelChoice, takes_model
from unclip.cli.output import (
    GridOption,
    JsonOption,
    OutOption,
    RowOption,
    SeedOption,
    SizeOption,
)
from unclip.cli.pictures import PictureArgument


@takes_model
def diff(
    image: Annotated[Path, PictureArgument],
    target: Annotated[str, typer.Option("--to", help="What the picture shall become.")],
    source: Annotated[
        str, typer.Option("--from", help="What it is [default: nothing, which goes straight to --to].")
    ] = "",
    theta: Annotated[
        str,
        typer.Option(help="How far the last picture goes, 0 to 1, or the first and the last, as 0.25..0.5."),
    ] = "0.5",
    steps: Annotated[int, typer.Option(help="Pictures on the way.")] = 5,
    size: SizeOption = None,
    seed: SeedOption = None,
    guidance_scale: Annotated[float, typer.Option(help="How much the content is stressed; 1 is off.")] = 1.0,
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    animation: RowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a picture by the difference between two sentences."""
    from unclip.cli.output import Drawing, Output, deliver, random_seed
    from unclip.imagefiles import read_picture
    from unclip.pipelines.given import without_pictures
    from unclip.pipelines.text_diff import TextDiff, check_text_diff, text_diff, thetas_of

    request = TextDiff(
        read_picture(image), target, source, _thetas(theta), steps, random_seed(seed), size, guidance_scale
    )
    system = model.load()
    request = check_text_diff(system, request)
    drawing = Drawing(
        lambda: text_diff(system, request),
        f"{image.stem}-diff",
        [f"{k:02}" for k in range(steps)],
        {"task": "text diff", "image": image.name, **without_pictures(request)},
        [{"theta": value} for value in thetas_of(request)],
        sentences=[sentence for sentence in (target, source) if sentence],
    )
    deliver(system, model, drawing, Output(out, grid, as_json, animation, trajectory=False))


def _thetas(text: str) -> tuple[float, float]:
    """Read how far the last picture goes, or the first and the last. Raises RequestError for all else."""
    from unclip.errors import RequestError

    first, dots, last = text.partition("..")
    try:
        return (float(first), float(last)) if dots else (0.0, float(first))
    except ValueError:
        raise RequestError(f"theta {text!r} is neither a number nor two, as 0.25..0.5") from None
