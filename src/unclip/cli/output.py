"""What the drawing commands have in common: their options, and where pictures and words about them go."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from PIL.Image import Image

    from unclip.cli.models import ModelChoice
    from unclip.diffusion.driver import Plan
    from unclip.imagefiles import SourceType
    from unclip.system import System

CountOption = Annotated[int, typer.Option("-n", help="How many pictures; picture k is that of seed + k.")]
SizeOption = Annotated[
    int | None, typer.Option(help="Pixels a side, as 64, 256 or 1024 [default: 256, or the model's own].")
]
SeedOption = Annotated[
    int | None, typer.Option(help="The same seed gives the same picture [default: random].")
]
UpsamplerStepsOption = Annotated[
    int | None, typer.Option(help="Steps of each upsampler [default: the model's].")
]
RngOption = Annotated[
    Literal["unclip", "diffusers"],
    typer.Option(help="How noise comes of the seed; diffusers: as its unCLIP pipelines draw it."),
]
OutOption = Annotated[Path, typer.Option("-o", "--out", help="A .png, .webp or .jpg file, or a folder.")]
GridOption = Annotated[bool, typer.Option("--grid", help="Save all pictures as one sheet.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")]
TrajectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--animation", help="A .gif, .webp or .apng file: how the first picture comes out of noise."
    ),
]
RowOption = Annotated[
    Path | None, typer.Option("--animation", help="A .gif, .webp or .apng file: the pictures in a row.")
]

FRAME_SECONDS = 0.15  # of an animation


@dataclass(frozen=True)
class Output:
    """Where a command's pictures go."""

    out: Path
    grid: bool
    as_json: bool
    animation: Path | None = None
    trajectory: bool = True  # the animation shows how the first picture is drawn; else the pictures in a row


@dataclass(frozen=True)
class Drawing:
    """A command's request, ready to be run."""

    plan: Callable[[], "Plan"]  # begins to run
    name: str  # what files are called in a folder
    labels: Sequence[str]  # what tells the pictures apart in their files' names
    about: Mapping[str, Any]  # the request, as it goes into the metadata
    each: Sequence[Mapping[str, Any]]  # what differs in it from picture to picture
    source_type: "SourceType" = "trainedAlgorithmicMedia"
    sentences: Sequence[str] = ()


def random_seed(seed: int | None) -> int:
    """Return the seed, or one that nobody has chosen."""
    import secrets

    return secrets.randbelow(2**32) if seed is None else seed


def by_seed(seed: int, n: int) -> list[dict[str, Any]]:
    """Return what differs between pictures of one request: each is the only one of its own seed."""
    return [{"n": 1, "seed": seed + k} for k in range(n)]


def slug(text: str, otherwise: str = "picture") -> str:
    """Return a file's name made of a sentence."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or otherwise


def deliver(system: "System", model: "ModelChoice", drawing: Drawing, output: Output) -> None:
    """Run a request, save its pictures, and print where they are, or as JSON what was made.

    Raises RequestError, before anything runs, if a place cannot be written.
    """
    from unclip.animations import check_animation
    from unclip.checkpoints.load import model_folder
    from unclip.checkpoints.store import fingerprint
    from unclip.cli.progress import watch
    from unclip.imagefiles import check_writable
    from unclip.pipelines.generation import Generation

    files = _files(output, drawing)
    if output.animation is not None:
        check_animation(output.animation)
    for file in [*files, *([output.animation] if output.animation else [])]:
        check_writable(file)
    strangers = _say_unknown_words(system, drawing.sentences)
    frames = list["Image"]()
    seen = frames if output.animation and output.trajectory else None
    images = watch(Generation(drawing.plan()), seen)
    about = {**drawing.about, **_maker(system, fingerprint(model_folder(model.model)))}
    made = _save(images, files, about, drawing, output.grid)
    if output.animation is not None:
        _animate([*frames, images[0]] if output.trajectory else images, output.animation, about, drawing)
        made.append(str(output.animation))
    if output.as_json:
        print(json.dumps({"files": made, "request": about, "unknown_words": strangers}, indent=1))
    else:
        for file in made:
            print(file)


def _files(output: Output, drawing: Drawing) -> list[Path]:
    """Return where the pictures go: `out` itself, numbered for several, or files in that folder."""
    from unclip.imagefiles import is_picture

    out, name = output.out, drawing.name
    if output.grid:
        return [out if is_picture(out) else out / f"{name}-{drawing.labels[0]}-grid.png"]
    if not is_picture(out):
        return [out / f"{name}-{label}.png" for label in drawing.labels]
    if len(drawing.labels) == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{label}") for label in drawing.labels]


def _say_unknown_words(system: "System", sentences: Sequence[str]) -> dict[str, tuple[str, ...]]:
    from unclip.text.prompts import unknown_words

    strangers = dict[str, tuple[str, ...]]()
    if not system.card.words:  # a model from elsewhere, which does not list them
        return strangers
    for sentence in sentences:
        strangers |= unknown_words(sentence, system.card.words)
    for word, near in strangers.items():
        hint = f"; the nearest it knows: {', '.join(near)}" if near else ""
        typer.echo(f"the model has never seen the word {word!r}{hint}", err=True)
    return strangers


def _maker(system: "System", model_hash: str) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "model": system.card.name,
        "model_hash": model_hash,
        "version": f"unclip {version('unclip')}",
    }


def _save(
    images: Sequence["Image"],
    files: Sequence[Path],
    about: Mapping[str, Any],
    drawing: Drawing,
    as_grid: bool,
) -> list[str]:
    from unclip.imagefiles import save
    from unclip.images import grid

    if as_grid:
        save(grid(images), files[0], about, drawing.source_type)
    else:
        for image, file, own in zip(images, files, drawing.each, strict=True):
            save(image, file, {**about, **own}, drawing.source_type)
    return [str(file) for file in files]


def _animate(frames: Sequence["Image"], path: Path, about: Mapping[str, Any], drawing: Drawing) -> None:
    from unclip.animations import save_animation

    size = frames[-1].size
    save_animation(
        [frame if frame.size == size else frame.resize(size) for frame in frames],
        path,
        about,
        FRAME_SECONDS * len(frames),
        drawing.source_type,
    )
