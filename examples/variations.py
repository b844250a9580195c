"""Variations of a picture: like it, and alike in content alone.

python examples/variations.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (lion,) = unclip.generate(system, "a lion in a meadow, 3D render", seed=1)
    lion.save(folder / "lion.png")
    near = unclip.vary(system, lion, n=2, seed=1)
    fresh = unclip.vary(system, lion, n=2, seed=1, fresh=True)
    for name, images in {"near": near, "fresh": fresh}.items():
        for k, image in enumerate(images):
            image.save(folder / f"lion-{name}-{k}.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
