"""What ever more principal components of a picture's embedding say of it.

python examples/probe.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip
from unclip.images import grid


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    (lion,) = unclip.generate(system, "a lion in a meadow, 3D render", seed=1)
    images = unclip.probe(system, lion, seed=1)
    grid([lion, *images], columns=1 + len(images)).save(folder / "lion-components.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
