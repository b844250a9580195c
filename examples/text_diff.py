"""A picture, changed by the difference between two sentences.

python examples/text_diff.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (car,) = unclip.generate(system, "a red car in the desert, 3D render", seed=1)
    way = unclip.diff(system, car, "a car in the snow", source="a car in the desert", steps=6, seed=1)
    for k, image in enumerate(way):
        image.save(folder / f"car-{k}.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
