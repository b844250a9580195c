"""`unclip vary`: pictures like a given one."""

from pathlib import Path
from typing import Annotated

import typer

from unclip.cli.models import ModelChoice, takes_model
from unclip.cli.output import (
    CountOption,
    GridOption,
    JsonOption,
    OutOption,
    RngOption,
    SeedOption,
    SizeOption,
    TrajectoryOption,
    UpsamplerStepsOption,
)
from unclip.cli.pictures import PictureArgument


@takes_model
def vary(
    image: Annotated[Path, PictureArgument],
    n: CountOption = 4,
    eta: Annotated[
        float, typer.Option(help="How far from the picture, 0 to 1; 0 gives it back as the decoder draws it.")
    ] = 0.5,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start from new noise: alike in content alone; --eta has no say.")
    ] = False,
    size: SizeOption = None,
    seed: SeedOption = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps of inversion and of drawing [default: 50; the model's if --fresh]."),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="How much the content is stressed; 1 is off [default: 1; the model's if --fresh]."),
    ] = None,
    upsampler_steps: UpsamplerStepsOption = None,
    rng: RngOption = "unclip",
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    animation: TrajectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make variations of a picture, cut to its middle square."""
    from unclip.cli.output import Drawing, Output, by_seed, deliver, random_seed
    from unclip.imagefiles import read_picture
    from unclip.pipelines.given import without_pictures
    from unclip.pipelines.variations import Variations, check_variations, variations

    request = Variations(
        read_picture(image),
        n,
        random_seed(seed),
        size,
        eta,
        fresh,
        steps,
        guidance_scale,
        upsampler_steps,
        rng,
    )
    system = model.load()
    request = check_variations(system, request)
    drawing = Drawing(
        lambda: variations(system, request),
        f"{image.stem}-variation",
        [str(request.seed + k) for k in range(n)],
        {"task": "variation", "image": image.name, **without_pictures(request)},
        by_seed(request.seed, n),
    )
    deliver(system, model, drawing, Output(out, grid, as_json, animation))
