"""Pictures of a sentence, led away from another one, the best of three by CLIP.

python examples/generate.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import unclip


def main(folder: Path, model: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    system = unclip.load(model)
    images = unclip.generate(
        system,
        "a red apple on a wooden table, 3D render",
        n=2,
        seed=7,
        negative="a green apple",
        best_of=3,
    )
    for k, image in enumerate(images):
        image.save(folder / f"apple-{k}.png")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(*arguments or [Path()])
