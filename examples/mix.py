"""Pictures of what a picture and a sentence have in common.

python examples/mix.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (car,) = unclip.generate(system, "a red car in the desert, 3D render", seed=1)
    car.save(folder / "car.png")
    images = unclip.mix(system, car, "a green car in the snow", weights=(2.0, 1.0), n=4, seed=1)
    for k, image in enumerate(images):
        image.save(folder / f"car-mixed-{k}.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
