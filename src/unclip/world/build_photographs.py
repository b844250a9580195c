"""The photograph sets from clones of their repositories: square RGB pictures of at most 256 px."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from unclip.imagefiles import read_image
from unclip.world.grammar import article
from unclip.world.photographs import PHOTOGRAPH_PX
from unclip.world.shard_writer import Entry, encode
from unclip.world.sources import Source
from unclip.world.words import COLOURS

_FLOWERS = {
    "daisy": "daisy",
    "dandelion": "dandelion",
    "roses": "rose",
    "sunflowers": "sunflower",
    "tulips": "tulip",
}
_CREDIT = re.compile(r"\S+/(\S+\.jpg) CC-BY by (.+) - (https?://\S+)")
_CLOTHES = {
    "Blazer": "a blazer",
    "Blouse": "a blouse",
    "Body": "a baby bodysuit",
    "Dress": "a dress",
    "Hat": "a hat",
    "Hoodie": "a hoodie",
    "Longsleeve": "a long-sleeved shirt",
    "Outwear": "a jacket",
    "Pants": "trousers",
    "Polo": "a polo shirt",
    "Shirt": "a shirt",
    "Shoes": "shoes",
    "Shorts": "shorts",
    "Skirt": "a skirt",
    "T-Shirt": "a T-shirt",
    "Top": "a top",
    "Undershirt": "an undershirt",
}
_MARGIN = 5  # px around the watercolours
_MAIN_COLOUR = 0.3  # share of the middle that a colour must have to be named


def tf_flowers(source: Source) -> Iterator[Entry]:
    """Describe each flower by its colour and credit its photographer."""
    credits = {file: (author, url) for file, author, url in _CREDIT.findall(source.terms.read_text("utf-8"))}
    for path in sorted(source.path("dataset").glob("*/*/*.jpg")):
        if path.parent.name in _FLOWERS and path.name in credits:
            author, url = credits[path.name]
            name, image = _FLOWERS[path.parent.name], _square(read_image(path))
            caption = f"a photo of {article(_coloured(name, image))}"
            yield _entry(path, source, image, name, "photo", caption, author=author, author_url=url)


def clothing(source: Source) -> Iterator[Entry]:
    """Take the garments that have a label of their own."""
    with source.path("images.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["label"] in _CLOTHES]
    for row in sorted(rows, key=lambda row: row["image"]):
        path = source.clone / "images" / f"{row['image']}.jpg"
        if path.is_file():
            phrase = _CLOTHES[row["label"]]
            name = phrase.removeprefix("a ").removeprefix("an ")
            image, kids = _square(read_image(path)), row["kids"] == "True"
            yield _entry(path, source, image, name, "photo", f"a photo of {phrase}", kids=kids)


def grocery(source: Source) -> Iterator[Entry]:
    """Take the natural photographs of fruit and vegetables."""
    for kind in ("Fruit", "Vegetables"):
        for path in sorted(source.path("dataset").glob(f"*/{kind}/**/*.jpg")):
            name = _produce(path.parent, kind)
            yield _entry(
                path, source, _square(read_image(path)), name, "photo", f"a photo of {name} in a shop"
            )


def usda_pomological(source: Source) -> Iterator[Entry]:
    """Crop the watercolours to the fruit; the table's rows are numbered as the pictures are."""
    with source.path("data/usda_pomological_watercolors.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    for number, row in enumerate(rows):
        path = source.clone / "data" / "images" / f"image-{number}.jpg"
        scientific, comma, common = row["subjects"].partition(" , ")
        if path.is_file() and comma:
            image, name = _square(ImageOps.crop(read_image(path), _MARGIN)), _singular(common)
            caption = f"a botanical watercolour painting of {article(_coloured(name, image))}"
            facts = {"scientific": scientific, "artist": row["authors"].strip(), "year": row["year"]}
            style = "botanical watercolour painting"
            yield _entry(path, source, image, name, style, caption, source_url=row["image"], **facts)


def _entry(
    path: Path, source: Source, image: Image.Image, name: str, style: str, caption: str, **facts: Any
) -> Entry:
    common = {"name": name, "style": style, "alpha": False, "size": list(image.size)}
    key = re.sub(r"[^a-z0-9]+", "-", f"{name} {path.stem}".lower())
    return Entry(key, encode(image), common | facts | source.record(path) | {"caption": caption})


def _square(image: Image.Image) -> Image.Image:
    """Cut to the middle square, and reduce what is larger than 256 px."""
    side = min(*image.size, PHOTOGRAPH_PX)
    return ImageOps.fit(image, (side, side), Image.Resampling.BOX)


def _coloured(name: str, image: Image.Image) -> str:
    """Put the main colour in front of a name, unless none stands out or it is the name itself."""
    side = image.width
    middle = image.crop((side // 4, side // 4, side - side // 4, side - side // 4))
    pixels = np.asarray(middle, np.float32).reshape(-1, 1, 3)
    nearest = np.square(pixels - np.array(list(COLOURS.values()), np.float32)).sum(-1).argmin(-1)
    shares = np.bincount(nearest, minlength=len(COLOURS)) / len(nearest)
    colour = list(COLOURS)[int(shares.argmax())]
    return f"{colour} {name}" if shares.max() > _MAIN_COLOUR and colour != name else name


def _produce(folder: Path, kind: str) -> str:
    """Name produce by its folders, "Pear/Anjou" or "Pepper/Red-Bell-Pepper": its variety and what it is."""
    variety, general = (name.replace("-", " ").lower() for name in (folder.name, folder.parent.name))
    return variety if general == kind.lower() or variety.endswith(general) else f"{variety} {general}"


def _singular(noun: str) -> str:
    """Give the singular of a fruit's name, as the subjects of the collection have it."""
    name = re.sub(r"\s*\(.*\)", "", noun).strip().lower()
    for ending, singular in (("ies", "y"), ("oes", "o"), ("ches", "ch"), ("ss", "ss"), ("s", "")):
        if name.endswith(ending) and name != "grapes":
            return name.removesuffix(ending) + singular
    return name
