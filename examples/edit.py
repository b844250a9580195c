"""A part of a picture painted anew: a penguin where a lion was.

python examples/edit.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

import unclip


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (lion,) = unclip.generate(system, "a lion in a meadow, 3D render", seed=1)
    lion.save(folder / "lion.png")
    mask = Image.new("RGBA", lion.size, "black")
    ImageDraw.Draw(mask).ellipse((10, 10, 246, 246), fill="#00000000")  # transparent: the hole
    images = unclip.edit(system, lion, "a penguin in a meadow, 3D render", mask=mask, n=2, seed=1)
    for k, image in enumerate(images):
        image.save(folder / f"penguin-{k}.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
