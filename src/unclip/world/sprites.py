"""The art: drawings with transparent backgrounds, read when needed and kept at the sizes that are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from unclip.data.record import Record, Span
from unclip.data.shards import read_records
from unclip.errors import DataError
from unclip.world.concepts import Concept
from unclip.world.recolour import Body, find_body
from unclip.world.solids import solid
from unclip.world.words import STYLES

# Sizes at which drawings are kept: half an octave apart, so that what is drawn is at most 1.42 times smaller.
LEVELS = (16, 23, 32, 45, 64, 90, 128, 181, 256, 362, 512, 724, 1024)
_BODY_PX = 64


@dataclass(frozen=True)
class Art:
    """One drawing where it lies: a square RGBA picture of `px`."""

    picture: Span
    px: int


@dataclass(frozen=True)
class Extent:
    """The part of its square that a drawing fills, in fractions of its side."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From its left to its right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From its top to its bottom."""
        return self.bottom - self.top


@dataclass(frozen=True, eq=False)
class Sprites:
    """All drawings by style and lower-case name, the smallest of each first."""

    drawings: Mapping[tuple[str, str], Sequence[Art]]

    @classmethod
    def load(cls, folder: Path) -> "Sprites":
        """Index the art shards of a data folder: <folder>/<set>/<set>.tar, and hires/ where it is.

        Raises `DataError` for a shard that is missing or broken.
        """
        drawings: dict[tuple[str, str], list[Art]] = {}
        for style, words in STYLES.items():
            for record in read_records(_shard(folder, words.art_set)):
                _add(drawings, style, record)
        hires = folder / "hires" / "hires.tar"
        style_of = {words.art_set: style for style, words in STYLES.items()}
        for record in read_records(hires) if hires.is_file() else ():
            _add(drawings, style_of[record.fields()["set"]], record)
        return cls({key: sorted(arts, key=lambda art: art.px) for key, arts in drawings.items()})

    @staticmethod
    def here(folder: Path) -> bool:
        """Tell a data folder of the world's art from other folders of pictures."""
        return any((folder / words.art_set).is_dir() for words in STYLES.values())

    def has(self, concept: Concept) -> bool:
        """Whether there is a drawing of a concept in every style."""
        return all((style, concept.art) in self.drawings for style in STYLES)

    def px(self, style: str, concept: Concept) -> int:
        """Give the size up to which a concept can be drawn without being enlarged."""
        return self.drawings[style, concept.art][-1].px if concept.art else LEVELS[-1]

    def extent(self, style: str, concept: Concept) -> Extent:
        """Measure the part of its square that a concept's drawing fills."""
        return _extent(self.drawings[style, concept.art][0]) if concept.art else _solid_extent(concept.name)

    def body(self, style: str, concept: Concept) -> Body:
        """Find what of a concept's drawing carries its colour."""
        return _body(self.drawings[style, concept.art][0]) if concept.art else _solid_body(concept.name)

    def image(self, style: str, concept: Concept, px: int) -> Image.Image:
        """Give a drawing with premultiplied alpha (mode RGBa), of `px` square or the next larger size kept.

        Raises `DataError` if it cannot be decoded.
        """
        level = next((level for level in LEVELS if level >= px), LEVELS[-1])
        if not concept.art:
            return _solid_image(concept.name, level)
        arts = self.drawings[style, concept.art]
        return _kept[level](next((art for art in arts if art.px >= level), arts[-1]), level)


def _shard(folder: Path, name: str) -> Path:
    path = folder / name / f"{name}.tar"
    if not path.is_file():
        raise DataError(f"{path}: no such shard; give the data folder that holds {name}/{name}.tar")
    return path


def _add(drawings: dict[tuple[str, str], list[Art]], style: str, record: Record) -> None:
    name = str(record.fields()["name"]).lower()
    drawings.setdefault((style, name), []).append(Art(record.picture, record.short_side()))


def decode_drawing(picture: Span) -> Image.Image:
    """Decode a picture as RGBA. Raises `DataError` if it is broken."""
    try:
        with Image.open(BytesIO(picture.read())) as image:
            return image.convert("RGBA")
    except OSError as error:
        raise DataError(f"{picture}: not a whole picture ({error}); fetch or pack the shard again") from error


_decode = lru_cache(maxsize=16)(decode_drawing)


def _image(art: Art, level: int) -> Image.Image:
    return _reduce(_decode(art.picture), min(level, art.px)).convert("RGBa")


# For each level a cache of at most 128 MiB.
_kept = {level: lru_cache(maxsize=2**25 // level**2)(_image) for level in LEVELS}


@cache
def _body(art: Art) -> Body:
    return find_body(_reduce(_decode(art.picture), _BODY_PX))


@cache
def _extent(art: Art) -> Extent:
    return _measure(_decode(art.picture))


@lru_cache(maxsize=64)
def _solid_image(name: str, level: int) -> Image.Image:
    return solid(name, level).convert("RGBa")


@cache
def _solid_body(name: str) -> Body:
    return find_body(solid(name, _BODY_PX))


@cache
def _solid_extent(name: str) -> Extent:
    return _measure(solid(name, 256))


def _reduce(image: Image.Image, px: int) -> Image.Image:
    return image.resize((px, px), Image.Resampling.BOX)


def _measure(image: Image.Image) -> Extent:
    drawn = np.asarray(image)[..., 3] > 24
    columns, rows = np.flatnonzero(drawn.any(0)).tolist(), np.flatnonzero(drawn.any(1)).tolist()
    side = image.width
    return Extent(columns[0] / side, rows[0] / side, (columns[-1] + 1) / side, (rows[-1] + 1) / side)
