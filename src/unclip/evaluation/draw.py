"""Drawing a suite's pictures into a folder, to be judged from there; what is there already is kept."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from unclip.errors import DataError
from unclip.evaluation.suite import Item
from unclip.pipelines.generation import generate
from unclip.system import System

ABOUT = "suite.json"

Say = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Drawn:
    """What a folder of pictures was drawn by and for; another model or suite needs another folder."""

    model: str  # name and hash
    suite: str
    seed: int
    size: int  # pixels a side
    per_sentence: int
    settings: dict[str, str | int | float]  # those of `TextToImage` that are not the model's own


def picture_file(folder: Path, index: int, k: int) -> Path:
    """Return where picture k of sentence `index` lies."""
    return folder / f"{index:05}" / f"{k}.png"


def draw(model: System, items: Sequence[Item], about: Drawn, folder: Path) -> Iterator[int]:
    """Draw what is missing, yielding the index of every sentence that is done.

    Picture k of sentence i has the seed `about.seed` + i * per_sentence + k. Raises DataError if the folder
    holds another suite's or model's pictures, or cannot be written.
    """
    _claim(folder, about)
    for index, item in enumerate(items):
        files = [picture_file(folder, index, k) for k in range(about.per_sentence)]
        if not all(file.exists() for file in files):
            seed = about.seed + index * about.per_sentence
            images = generate(
                model, item.sentence, n=about.per_sentence, seed=seed, size=about.size, **about.settings
            )
            _save(images, files)
        yield index


def _claim(folder: Path, about: Drawn) -> None:
    path, ours = folder / ABOUT, asdict(about)
    try:
        if path.exists():
            found = json.loads(path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it says nothing of a suite")
            for name, value in ours.items():
                if found.get(name) != value:
                    raise DataError(
                        f"{folder} holds pictures with {name} = {found.get(name)}, not {value}:"
                        " choose another folder"
                    )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(ours, indent=1), "utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be used ({error}): choose another folder") from error


def _save(images: Sequence[Image.Image], files: Sequence[Path]) -> None:
    try:
        files[0].parent.mkdir(exist_ok=True)
        for image, file in zip(images, files, strict=True):
            partial = file.with_suffix(".tmp")
            image.save(partial, "PNG")
            partial.replace(file)
    except OSError as error:
        raise DataError(f"{files[0].parent} could not be written ({error}); free space and resume") from error
