"""The way from one picture to another, as a sheet and as an animation.

python examples/interpolation.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip
from unclip.animations import save_animation
from unclip.images import grid


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (lion,) = unclip.generate(system, "a lion in a meadow, 3D render", seed=1)
    (penguin,) = unclip.generate(system, "a penguin in the snow, 3D render", seed=1)
    way = unclip.interpolate(system, lion, penguin, steps=6, seed=1)
    grid(way, columns=len(way)).save(folder / "lion-to-penguin.png")
    about = {"task": "interpolation", "a": "lion", "b": "penguin", "seed": 1}
    save_animation(way, folder / "lion-to-penguin.gif", about, seconds=1.0)


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
