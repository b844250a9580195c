"""`unclip edit` and `unclip outpaint`: painting what is missing from a picture."""

from pathlib import Path
from typing import Annotated

import typer

from unclip.cli.models import ModelChoice, takes_model
from unclip.cli.numbers import pair
from unclip.cli.output import (
    CountOption,
    GridOption,
    JsonOption,
    OutOption,
    SeedOption,
)
from unclip.cli.pictures import PictureArgument

SentenceArgument = typer.Argument(help="What the whole picture shall show.")
StepsOption = typer.Option(help="Steps of the decoder [default: the model's].")
GuidanceOption = typer.Option(help="How strictly the decoder follows the sentence [default: the model's].")
ResizeOption = typer.Option(
    help="Pixels of the shorter side, 64, 256 or 1024, to resize to first [default: as it is]."
)
ResamplingsOption = typer.Option(help="How often the decoder goes over each stretch, to fit what is around.")
SamplerOption = typer.Option(help="ddpm, ddim or dpm++.")


@takes_model
def edit(
    image: Annotated[Path, PictureArgument],
    sentence: Annotated[str, SentenceArgument],
    mask: Annotated[
        Path | None,
        typer.Option(
            help="A picture of the same size, transparent where to paint [default: the picture's own holes]."
        ),
    ] = None,
    n: CountOption = 1,
    size: Annotated[int | None, ResizeOption] = None,
    seed: SeedOption = None,
    steps: Annotated[int | None, StepsOption] = None,
    guidance_scale: Annotated[float | None, GuidanceOption] = None,
    resamplings: Annotated[int, ResamplingsOption] = 4,
    sampler: Annotated[str, SamplerOption] = "ddpm",
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint the transparent part of a picture anew; all other pixels stay as they are."""
    from unclip.cli.output import Drawing, Output, by_seed, deliver, random_seed
    from unclip.imagefiles import read_picture
    from unclip.pipelines.edit import Edit, check_edit, settled_edit
    from unclip.pipelines.edit import edit as plan
    from unclip.pipelines.given import without_pictures

    holes = read_picture(mask) if mask else None
    request = Edit(
        read_picture(image),
        sentence,
        holes,
        n,
        random_seed(seed),
        size,
        steps,
        guidance_scale,
        resamplings,
        sampler,
    )
    system = model.load()
    check_edit(system, request)
    given = {"image": image.name, "mask": mask.name if mask else None}
    drawing = Drawing(
        lambda: plan(system, request),
        f"{image.stem}-edit",
        [str(request.seed + k) for k in range(n)],
        {"task": "edit", **given, **without_pictures(settled_edit(system, request)), **given},
        by_seed(request.seed, n),
        "compositeWithTrainedAlgorithmicMedia",
        [sentence],
    )
    deliver(system, model, drawing, Output(out, grid, as_json))


@takes_model
def outpaint(
    image: Annotated[Path, PictureArgument],
    sentence: Annotated[str, SentenceArgument],
    left: Annotated[int, typer.Option(help="Pixels to add at the left.")] = 0,
    right: Annotated[int, typer.Option(help="Pixels to add at the right.")] = 0,
    top: Annotated[int, typer.Option(help="Pixels to add at the top.")] = 0,
    bottom: Annotated[int, typer.Option(help="Pixels to add at the bottom.")] = 0,
    frame: Annotated[
        list[str] | None,
        typer.Option(
            help="X,Y of the upper left corner, from the picture's own, of a square to paint, as large as the"
            " picture's shorter side; may be given several times, in the order of painting."
        ),
    ] = None,
    n: CountOption = 1,
    size: Annotated[int | None, ResizeOption] = None,
    seed: SeedOption = None,
    steps: Annotated[int | None, StepsOption] = None,
    guidance_scale: Annotated[float | None, GuidanceOption] = None,
    resamplings: Annotated[int, ResamplingsOption] = 4,
    candidates: Annotated[
        int, typer.Option(help="Drawn for each frame; the one nearest the sentence by CLIP is kept.")
    ] = 1,
    sampler: Annotated[str, SamplerOption] = "ddpm",
    out: OutOption = Path(),
    *,
    model: ModelChoice,
    grid: GridOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on beyond a picture's edges, frame by frame; its own pixels stay as they are."""
    from unclip.cli.output import Drawing, Output, by_seed, deliver, random_seed
    from unclip.imagefiles import read_picture
    from unclip.pipelines.given import without_pictures
    from unclip.pipelines.outpaint import Outpaint, check_outpaint, settled_outpaint
    from unclip.pipelines.outpaint import outpaint as plan

    request = Outpaint(
        read_picture(image),
        sentence,
        left,
        right,
        top,
        bottom,
        tuple(pair("frame", text, "-128,0") for text in frame or ()),
        n,
        random_seed(seed),
        size,
        steps,
        guidance_scale,
        resamplings,
        candidates,
        sampler,
    )
    system = model.load()
    check_outpaint(system, request)
    drawing = Drawing(
        lambda: plan(system, request),
        f"{image.stem}-outpaint",
        [str(request.seed + k) for k in range(n)],
        {"task": "outpaint", "image": image.name, **without_pictures(settled_outpaint(system, request))},
        by_seed(request.seed, n),
        "compositeWithTrainedAlgorithmicMedia",
        [sentence],
    )
    deliver(system, model, drawing, Output(out, grid, as_json))
