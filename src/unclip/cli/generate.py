"""`unclip generate`: pictures from a sentence."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from PIL.Image import Image

    from unclip.pipelines.text_to_image import TextToImage
    from unclip.system import System


def generate(
    sentence: Annotated[str, typer.Argument(help="What the picture shows.")],
    n: Annotated[int, typer.Option("-n", help="How many pictures; picture k is that of seed + k.")] = 1,
    size: Annotated[int, typer.Option(help="Pixels a side: 64, 256 or 1024.")] = 256,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same picture [default: random].")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the decoder [default: the model's].")] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="How strictly the decoder follows the sentence; 1 is off [default: the model's]."),
    ] = None,
    prior_guidance_scale: Annotated[
        float | None, typer.Option(help="The same of the prior [default: the model's].")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="ddpm, ddim or dpm++ [default: the model's].")] = None,
    quality: Annotated[
        Literal["draft", "standard", "best"] | None,
        typer.Option(
            help="best: the decoder; standard: the distilled one, if the model has it; draft: in fewer steps"
            " [default: the model's]."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A .png, .webp or .jpg file, or a folder.")
    ] = Path(),
    model: Annotated[Path | None, typer.Option(help="A model folder [default: the bundled model].")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    grid: Annotated[bool, typer.Option("--grid", help="Save all pictures as one sheet.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
) -> None:
    """Make pictures from a sentence."""
    import secrets

    from unclip.checkpoints.load import load, model_folder
    from unclip.checkpoints.store import fingerprint
    from unclip.cli.progress import watch
    from unclip.imagefiles import check_writable
    from unclip.pipelines.generation import Generation
    from unclip.pipelines.text_to_image import TextToImage, checked, text_to_image

    seed = secrets.randbelow(2**32) if seed is None else seed
    request = TextToImage(
        sentence, n, seed, size, steps, guidance_scale, prior_guidance_scale, sampler, quality=quality
    )
    system = load(model, device=device)
    checked(system, request)
    files = _files(out, request, grid)
    for file in files:
        check_writable(file)
    strangers = _say_unknown_words(system, sentence)
    images = watch(Generation(text_to_image(system, request)))
    about = _metadata(system, request, fingerprint(model_folder(model)))
    made = _save(images, files, about, grid)
    if as_json:
        print(json.dumps({"files": made, "request": about, "unknown_words": strangers}, indent=1))
    else:
        for file in made:
            print(file)


def _files(out: Path, request: "TextToImage", grid: bool) -> list[Path]:
    """Return where the pictures go: `out` itself, numbered for several, or files in that folder."""
    from unclip.imagefiles import is_picture

    name = re.sub(r"[^a-z0-9]+", "-", request.prompt.lower()).strip("-")[:60] or "picture"
    if grid:
        return [out if is_picture(out) else out / f"{name}-{request.seed}-grid.png"]
    seeds = [request.seed + k for k in range(request.n)]
    if not is_picture(out):
        return [out / f"{name}-{seed}.png" for seed in seeds]
    return [out] if request.n == 1 else [out.with_stem(f"{out.stem}-{seed}") for seed in seeds]


def _say_unknown_words(system: "System", sentence: str) -> dict[str, tuple[str, ...]]:
    from unclip.text.prompts import unknown_words

    strangers = unknown_words(sentence, system.card.words)
    for word, near in strangers.items():
        hint = f"; the nearest it knows: {', '.join(near)}" if near else ""
        typer.echo(f"the model has never seen the word {word!r}{hint}", err=True)
    return strangers


def _metadata(system: "System", request: "TextToImage", model_hash: str) -> dict[str, Any]:
    from importlib.metadata import version

    from unclip.pipelines.text_to_image import is_distilled, resolved

    return {
        **resolved(system, request),
        "decoder": "distilled" if is_distilled(system, request) else "undistilled",
        "model": system.card.name,
        "model_hash": model_hash,
        "version": f"unclip {version('unclip')}",
    }


def _save(images: list["Image"], files: list[Path], about: dict[str, Any], as_grid: bool) -> list[str]:
    from unclip.imagefiles import save
    from unclip.images import grid

    if as_grid:
        save(grid(images), files[0], about)
    else:
        for k, (image, file) in enumerate(zip(images, files, strict=True)):
            save(image, file, {**about, "n": 1, "seed": about["seed"] + k})
    return [str(file) for file in files]
