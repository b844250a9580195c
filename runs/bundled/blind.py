"""The blind sheet: 40 sentences on 40 things, and a reader who has to say what the pictures show.

    python runs/bundled/blind.py draw docs/blind                  # by the bundled model
    python runs/bundled/blind.py draw control --world DATA        # the same scenes as training shows them,
                                                                  # and styles.jpg: examples of the styles
    python runs/bundled/blind.py score docs/blind                 # reads answers.tsv

`draw` writes `pictures.jpg`, numbered in an order of its own, and `captioned.jpg`. The reader sees the first,
`styles.jpg` and the names, never a sentence. `answers.tsv` has a line per picture: its number, the
thing, the background and the style.
"""

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont

import unclip
from unclip.checkpoints.load import BUNDLED
from unclip.checkpoints.store import read_system_file
from unclip.cli.source import learned_world
from unclip.world import Sprites
from unclip.world.concepts import Concept, listed
from unclip.world.grammar import article
from unclip.world.render import render
from unclip.world.scene import Scene, Thing
from unclip.world.words import STYLES

COUNT, COLUMNS, SIDE, LINES = 40, 8, 192, 30
BACKGROUNDS = {
    "blue": "on a blue background",
    "pink": "on a pink background",
    "beach": "on the beach",
    "meadow": "in a meadow",
    "night": "at night under the stars",
    "snow": "in the snow",
    "underwater": "under water",
    "desert": "in the desert",
    "table": "on a wooden table",
    "forest": "in a forest",
}
ASKED = ("thing", "background", "style")


@dataclass(frozen=True)
class Row:
    """One sentence, what it names, and the seed of its picture."""

    concept: Concept
    background: str
    style: str
    seed: int

    @property
    def sentence(self) -> str:
        return f"{article(self.concept.name)} {BACKGROUNDS[self.background]}, {STYLES[self.style].after[0]}"

    @property
    def truth(self) -> tuple[str, str, str]:
        return self.concept.name, self.background, self.style


def styles() -> tuple[str, ...]:
    """What the bundled model was shown."""
    return learned_world(read_system_file(BUNDLED).card)[0].styles


def things() -> list[Concept]:
    """What can be named with an article, the commonest first."""
    return [concept for concept in listed() if not concept.bare]


def rows() -> list[Row]:
    """The commonest things, each once, and each background as often in each style."""
    places = [(background, style) for background in BACKGROUNDS for style in styles()]
    places *= COUNT // len(places)
    Random("places").shuffle(places)
    named = things()[: len(places)]
    return [Row(thing, *place, seed) for seed, (thing, place) in enumerate(zip(named, places, strict=True))]


def examples() -> list[Row]:
    """Other things in every style, for the reader to know the styles by."""
    others = things()[len(rows()) :][:COLUMNS]
    return [Row(thing, "blue", style, seed) for style in styles() for seed, thing in enumerate(others)]


def shuffled() -> list[Row]:
    """The rows in the order of the numbered pictures, from 1."""
    return Random("order").sample(rows(), len(rows()))


def sheet(pictures: Sequence[Image.Image], labels: Sequence[str]) -> Image.Image:
    cell = SIDE + LINES
    page = Image.new("RGB", (COLUMNS * SIDE, -(-len(pictures) // COLUMNS) * cell), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    for place, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        row, column = divmod(place, COLUMNS)
        page.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (column * SIDE, row * cell))
        text = "\n".join(textwrap.wrap(label, SIDE // 6))
        draw.multiline_text((column * SIDE + 2, row * cell + SIDE + 1), text, "black", font, spacing=1)
    return page


def by_model(folder: Path | None) -> Callable[[Row], Image.Image]:
    model = unclip.load(folder)
    return lambda row: unclip.generate(model, row.sentence, seed=row.seed)[0]


def by_world(data: Path) -> Callable[[Row], Image.Image]:
    sprites = Sprites.load(data)
    return lambda row: Image.fromarray(
        render(Scene(row.style, row.background, (Thing(row.concept),), None, row.seed), sprites, 256)
    )


def draw(options: argparse.Namespace) -> None:
    picture = by_world(options.world) if options.world else by_model(options.model)
    pictures = {row.seed: picture(row) for row in rows()}
    options.folder.mkdir(parents=True, exist_ok=True)
    numbers = [str(number) for number in range(1, len(pictures) + 1)]
    sheet([pictures[row.seed] for row in shuffled()], numbers).save(
        options.folder / "pictures.jpg", quality=90
    )
    captions = [row.sentence for row in rows()]
    sheet(list(pictures.values()), captions).save(options.folder / "captioned.jpg", quality=90)
    if options.world:
        shown = examples()
        labels = [f"{row.style}: {STYLES[row.style].after[0]}" for row in shown]
        sheet([picture(row) for row in shown], labels).save(options.folder / "styles.jpg", quality=90)


def score(options: argparse.Namespace) -> None:
    lines = (options.folder / "answers.tsv").read_text("utf-8").splitlines()
    answers = {int(number): answer for number, *answer in (line.split("\t") for line in lines)}
    right = dict.fromkeys((*ASKED, "background and style"), 0)
    for number, row in enumerate(shuffled(), start=1):
        hits = {part: a == b for part, a, b in zip(ASKED, answers[number], row.truth, strict=True)}
        hits["background and style"] = hits["background"] and hits["style"]
        for part, hit in hits.items():
            right[part] += hit
        if not all(hits.values()):
            print(f"{number}: {row.sentence}, seen as {', '.join(answers[number])}")
    print("; ".join(f"{part} {count} of {len(answers)}" for part, count in right.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    drawing = commands.add_parser("draw", help="draw the sheet")
    drawing.set_defaults(run=draw)
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("--model", type=Path, help="a model folder; without it the bundled model")
    drawing.add_argument("--world", type=Path, help="the world's art, to draw what the model is to learn")
    scoring = commands.add_parser("score", help="compare answers.tsv with what was asked for")
    scoring.set_defaults(run=score)
    scoring.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
