"""The words of captions: what may be said of a style, a colour, a size and a relation, and what is meant."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A way of drawing. `before`: phrases that a noun follows; `after`: phrases that end a sentence."""

    art_set: str
    before: tuple[str, ...]
    after: tuple[str, ...]


STYLES: Mapping[str, Style] = {
    "3d": Style(
        "fluent-3d",
        ("a 3D render of", "a 3D rendering of", "a glossy 3D icon of"),
        ("3D render", "rendered in 3D", "in 3D style"),
    ),
    "flat": Style(
        "fluent-flat",
        ("a flat icon of", "a flat vector drawing of", "a flat illustration of"),
        ("flat icon", "in flat style", "flat vector art"),
    ),
    "cartoon": Style(
        "noto-emoji",
        ("a cartoon of", "a shaded cartoon of", "a cartoon drawing of"),
        ("cartoon", "in cartoon style", "shaded cartoon"),
    ),
    "blob": Style(
        "blobmoji",
        ("a blob-style drawing of", "a blob emoji of", "a doodle of"),
        ("blob style", "in blob style", "blob emoji"),
    ),
}

# The ten colours of GenEval (Ghosh et al. 2023), as sRGB.
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (222, 36, 36),
    "orange": (248, 130, 20),
    "yellow": (252, 212, 24),
    "green": (48, 166, 58),
    "blue": (36, 98, 224),
    "purple": (138, 58, 196),
    "pink": (252, 132, 190),
    "brown": (126, 76, 40),
    "black": (40, 40, 46),
    "white": (245, 245, 247),
}

SIZES: Mapping[str, tuple[str, ...]] = {"big": ("big", "large", "huge"), "small": ("small", "little", "tiny")}

RELATIONS: Mapping[str, tuple[str, ...]] = {
    "left of": ("to the left of", "left of", "on the left of"),
    "right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "on top of": ("on top of", "standing on"),
    "inside": ("inside", "in"),
    "riding": ("riding", "riding on"),
    "wearing": ("wearing",),
    "holding": ("holding", "carrying"),
}
# A relation and the one that says the same with its nouns exchanged.
MIRRORED: Mapping[str, str] = {"right of": "left of", "below": "above"}
