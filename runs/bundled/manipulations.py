"""Draw a sheet for each page on a task: docs/manipulations/*.jpg, by the bundled model.

    python runs/bundled/manipulations.py [SHEET...]

What is drawn is in each sheet's metadata. A sheet that the model cannot draw is left out, and it is said why.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

import unclip
from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import fingerprint
from unclip.imagefiles import labels
from unclip.images import grid
from unclip.system import System

FOLDER = Path(__file__).parents[2] / "docs" / "manipulations"
SEED, COLUMNS, QUALITY = 1, 6, 88
APPLE = "a red apple on a wooden table, 3D render"
CAR = "a red car in the desert, 3D render"
LION = "a lion in a meadow, 3D render"
PENGUIN = "a penguin in the snow, 3D render"
ROUND = (10, 10, 246, 246)
SKY = (0, 0, 255, 80)
SIDES = 96  # pixels added at the left and the right

Row = list[Image.Image]


def drawn(model: System, sentence: str) -> Image.Image:
    """A picture for others to be made of."""
    return unclip.generate(model, sentence, seed=SEED)[0]


def variations(model: System) -> Row:
    """A picture and five variations: eta 0.5, then 1, then from new noise; then the same of another."""
    row = Row()
    for sentence in (LION, APPLE):
        image = drawn(model, sentence)
        row += [image, *unclip.vary(model, image, n=COLUMNS - 1, seed=SEED)]
        row += [image, *unclip.vary(model, image, n=COLUMNS - 1, seed=SEED, eta=1.0)]
        row += [image, *unclip.vary(model, image, n=COLUMNS - 1, seed=SEED, fresh=True)]
    return row


def edits(model: System) -> Row:
    """A picture, its hole, and four edits."""
    row = Row()
    for sentence, hole, wanted in (
        (LION, ROUND, "a penguin in a meadow, 3D render"),
        (PENGUIN, ROUND, "a lion in the snow, 3D render"),
        (APPLE, ROUND, "a lemon on a wooden table, 3D render"),
        (CAR, SKY, "a red car at night under the stars, 3D render"),
    ):
        image = drawn(model, sentence)
        holed = image.convert("RGBA")
        shape = ImageDraw.Draw(holed)
        (shape.ellipse if hole == ROUND else shape.rectangle)(hole, fill="#00000000")
        row += [image, holed, *unclip.edit(model, holed, wanted, n=COLUMNS - 2, seed=SEED)]
    return row


def outpainting(model: System) -> Row:
    """Two pictures, wider at both sides; the sentence says the place, and below the thing too."""
    row = Row()
    for told in ("a meadow, 3D render", LION), ("in the snow, 3D render", PENGUIN):
        image = drawn(model, told[1])
        for sentence in told:
            row += unclip.outpaint(model, image, sentence, left=SIDES, right=SIDES, seed=SEED)
    return [row[k] for k in (0, 2, 1, 3)]


def interpolation(model: System) -> Row:
    """Two pictures, from one's noise to the other's, then from one noise; a picture and a sentence; a mix."""
    lion, penguin, car = (drawn(model, sentence) for sentence in (LION, PENGUIN, CAR))
    row = unclip.interpolate(model, lion, penguin, steps=COLUMNS, seed=SEED)
    row += unclip.interpolate(model, lion, penguin, steps=COLUMNS, seed=SEED, noise="fixed")
    row += unclip.interpolate(model, car, "a blue car in the snow", steps=COLUMNS, seed=SEED)
    mixed = unclip.mix(model, lion, "a purple background", n=COLUMNS - 1, seed=SEED, weights=(2.0, 1.0))
    return [*row, lion, *mixed]


def text_diffs(model: System) -> Row:
    """Pictures on their way to another place, time of day and colour; the car's colour is not reached."""
    apple, car, lion = (drawn(model, sentence) for sentence in (APPLE, CAR, LION))
    row = Row()
    for image, source, target in (
        (car, "a car in the desert", "a car in the snow"),
        (lion, "", "at night"),
        (apple, "a red apple", "a green apple"),
        (car, "a red car", "a green car"),
    ):
        row += unclip.diff(model, image, target, source=source, steps=COLUMNS, seed=SEED)
    return row


def probe(model: System) -> Row:
    """Two pictures from ever more components. Raises RequestError while the model has none."""
    most = model.clip.config.embed_dim
    counts = (5, 20, 40, 80, most)
    row = Row()
    for image in (drawn(model, sentence) for sentence in (LION, CAR)):
        row += [image, *unclip.probe(model, image, components=counts, seed=SEED)]
    return row


def sampling(model: System) -> Row:
    """Guidance scales 1, 2, 3, 5, 8 and 12: x0 clamped; by dynamic threshold; rescaled; in an interval."""
    row = Row()
    for extra in (
        {},
        {"dynamic_threshold": 0.995},
        {"guidance_rescale": 0.7},
        {"guidance_interval": (200, 800)},
    ):
        for scale in (1.0, 2.0, 3.0, 5.0, 8.0, 12.0):
            row += unclip.generate(model, LION, seed=SEED, quality="best", guidance_scale=scale, **extra)
    return row


SHEETS: dict[str, tuple[Callable[[System], Row], int]] = {
    "variations": (variations, COLUMNS),
    "edits": (edits, COLUMNS),
    "outpainting": (outpainting, 2),
    "interpolation": (interpolation, COLUMNS),
    "text-diffs": (text_diffs, COLUMNS),
    "probe": (probe, COLUMNS),
    "sampling": (sampling, COLUMNS),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    model = unclip.load()
    for name in sys.argv[1:] or SHEETS:
        sheet, columns = SHEETS[name]
        try:
            pictures = sheet(model)
        except unclip.RequestError as error:
            print(f"{name}: left out, for {error}", flush=True)
            continue
        about = {"sheet": name, "shows": sheet.__doc__, "seed": SEED, "model_hash": fingerprint(BUNDLED)}
        label = labels("JPEG", about, "trainedAlgorithmicMedia")
        file = FOLDER / f"{name}.jpg"
        grid(pictures, columns).save(file, quality=QUALITY, **label)
        print(file, flush=True)


if __name__ == "__main__":
    main()
