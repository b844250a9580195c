"""A picture that goes on to its left and right.

python examples/outpaint.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (lion,) = unclip.generate(system, "a lion in a meadow, 3D render", seed=1)
    lion.save(folder / "lion.png")
    (wide,) = unclip.outpaint(system, lion, "a meadow, 3D render", left=96, right=96, seed=1)
    wide.save(folder / "lion-wide.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
