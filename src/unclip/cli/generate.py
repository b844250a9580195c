"""`unclip generate`: pictures from a sentence."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unclip.cli.models import ModelChoice, takes_model
from unclip.cli.numbers import pair
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

if TYPE_CHECKING:
    from unclip.pipelines.text_to_image import TextToImage
    from unclip.system import System


@takes_model
def generate(
    sentence: Annotated[str, typer.Argument(help="What the picture shows.")],
    n: CountOption = 1,
    size: SizeOption = None,
    seed: SeedOption = None,
    negative: Annotated[
        str | None, typer.Option(help="A sentence to lead away from, where guidance is on.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the decoder [default: the model's].")] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="How strictly the decoder follows the sentence; 1 is off [default: the model's]."),
    ] = None,
    guidance_interval: Annotated[
        str | None,
        typer.Option(help="Timesteps that are guided, as 200,800; 0 is the least noise [default: all]."),
    ] = None,
    guidance_rescale: Annotated[
        float | None, typer.Option(help="Share, 0 to 1, of the contrast that guidance adds to take back.")
    ] = None,
    dynamic_threshold: Annotated[
        float | None,
        typer.Option(help="Share of the pixels, as 0.995, that keep within range by scaling, not clamping."),
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm, ddim or dpm++ [default: the model's].")] = None,
    prior: Annotated[
        Literal["diffusion", "ar"] | None,
        typer.Option(help="Which prior draws the image embedding [default: the model's]."),
    ] = None,
    prior_steps: Annotated[
        int | None, typer.Option(help="Steps of the diffusion prior [default: the model's].")
    ] = None,
    prior_guidance_scale: Annotated[
        float | None, typer.Option(help="Guidance scale of the prior [default: the model's].")
    ] = None,
    prior_sampler: Annotated[
        str | None,
        typer.Option(help="ddpm, ddim, dpm++, or analytic where measured [default: the model's]."),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Image embeddings drawn per picture; the nearest the sentence is kept [default: 2]."
        ),
    ] = None,
    best_of: Annotated[
        int, typer.Option(help="Small pictures drawn for each one kept: the nearest the sentence by CLIP.")
    ] = 1,
    quality: Annotated[
        Literal["draft", "standard", "best"] | None,
        typer.Option(
            help="best: the decoder; standard: the distilled one, if the model has it; draft: in fewer steps"
            " [default: the model's]."
        ),
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
    """Make pictures from a sentence."""
    from unclip.cli.output import Drawing, Output, by_seed, deliver, random_seed, slug
    from unclip.errors import RequestError
    from unclip.pipelines.text_to_image import TextToImage, checked, text_to_image

    request = TextToImage(
        sentence,
        n,
        random_seed(seed),
        size,
        steps,
        guidance_scale,
        prior_guidance_scale,
        sampler,
        candidates,
        quality,
        negative,
        None if guidance_interval is None else pair("guidance interval", guidance_interval, "200,800"),
        guidance_rescale,
        dynamic_threshold,
        prior,
        prior_steps,
        prior_sampler,
        best_of,
        upsampler_steps,
        rng,
    )
    if animation is not None and best_of > 1:
        raise RequestError("an animation shows how one picture is drawn: leave out --best-of or --animation")
    system = model.load()
    checked(system, request)
    drawing = Drawing(
        lambda: text_to_image(system, request),
        slug(sentence),
        [str(request.seed + k) for k in range(n)],
        _about(system, request),
        by_seed(request.seed, n),
        sentences=[sentence, *([negative] if negative else [])],
    )
    deliver(system, model, drawing, Output(out, grid, as_json, animation))


def _about(system: "System", request: "TextToImage") -> dict[str, Any]:
    from unclip.pipelines.text_to_image import is_distilled, resolved

    decoder = "distilled" if is_distilled(system, request) else "undistilled"
    return {**resolved(system, request), "decoder": decoder}
