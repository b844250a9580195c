"""The world as a source of training pictures."""

import re
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from unclip.data.example import Example
from unclip.data.pictures import CaptionedPictures
from unclip.errors import DataError
from unclip.world.caption import describe
from unclip.world.concepts import listed
from unclip.world.photographs import PHOTOGRAPH_PX
from unclip.world.render import render
from unclip.world.scene import Casts, Scene, draw_scene, is_heldout
from unclip.world.sprites import Sprites
from unclip.world.words import STYLES

_TRIES = 10_000
_DESCRIBED = re.compile(
    r"world of (\d+) concepts(?: in ([\w ]+?))?(?: at ([\d.e-]+) of the usual variation)?"
    r"(?:, ([\d.e-]+)% photographs)?, seed (\d+)"
)


@dataclass(frozen=True)
class WorldConfig:
    """What the world shows.

    concepts: how many kinds of things; the solids come on top, in the 3D style.
    styles: the ways of drawing.
    objects: how often a scene has one, two, ... five objects.
    variation: of place, size, pose and shade, which no caption names (see Scene).
    photographs: share of pictures that are photographs or watercolours.
    dense: share of captions that name all that is shown.
    split: "train" shows no held-out combination, "heldout" at least one in each scene.
    """

    concepts: int = 60
    styles: tuple[str, ...] = tuple(STYLES)
    objects: tuple[float, ...] = (0.5, 0.28, 0.1, 0.07, 0.05)
    variation: float = 1.0
    photographs: float = 0.0
    dense: float = 0.7
    split: Literal["train", "heldout"] = "train"


def described(config: WorldConfig, seed: int) -> str:
    """Say in words what a world shows, for a model's card."""
    styles = "" if config.styles == tuple(STYLES) else f" in {' and '.join(config.styles)}"
    calmer = "" if config.variation == 1 else f" at {config.variation:g} of the usual variation"
    photographs = f", {100 * config.photographs:g}% photographs" if config.photographs else ""
    return f"world of {config.concepts} concepts{styles}{calmer}{photographs}, seed {seed}"


def told(description: str) -> tuple[WorldConfig, int] | None:
    """Return what `described` spoke of, the rest being as usual; None for other words."""
    found = _DESCRIBED.fullmatch(description)
    if not found:
        return None
    concepts, styles, variation, photographs, seed = found.groups()
    config = WorldConfig(
        concepts=int(concepts),
        styles=tuple(styles.split(" and ")) if styles else tuple(STYLES),
        variation=float(variation or 1),
        photographs=float(photographs or 0) / 100,
    )
    return config, int(seed)


@dataclass(frozen=True, eq=False)
class World:
    """Captioned scenes without end (see `Pictures`), each a function of the seed and its index alone."""

    sprites: Sprites
    seed: int
    config: WorldConfig = WorldConfig()
    photographs: CaptionedPictures | None = None

    def __post_init__(self) -> None:
        assert self.photographs or not self.config.photographs, "a share of photographs needs some"

    def example(self, index: int, size: int) -> Example:
        """Draw scene `index` at `size` px, with its caption."""
        if photographs := self._photographs_at(index):
            return photographs.example(index, size)
        return Example(render(self.scene(index), self.sprites, size), self.caption(index))

    def crop(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "window window 3"]:
        """Draw only a window of a scene of `size` px, of things that need not be enlarged for it.

        While the drawings of all concepts suffice it is of scene `index`; beyond, of one of larger drawings.

        Raises `DataError` if there are no drawings of this size.
        """
        if size <= PHOTOGRAPH_PX and (photographs := self._photographs_at(index)):
            return photographs.crop(index, size, window)
        rng = Random(f"{self.seed}/{index}/window")
        left, top = (rng.randint(0, size - window) for _ in range(2))
        return render(self.scene(index, size), self.sprites, size, (left, top, left + window, top + window))

    def caption(self, index: int) -> str:
        """Describe picture `index`, without drawing it."""
        if photographs := self._photographs_at(index):
            return photographs.caption(index)
        return describe(self.scene(index), Random(f"{self.seed}/{index}/caption"), self.config.dense)

    def scene(self, index: int, size: int = 0) -> Scene:
        """Give scene `index`, of things that can be drawn at `size` px without being enlarged.

        Raises `DataError` if the drawings allow no such scene.
        """
        rng = Random(f"{self.seed}/{index}")
        objects = rng.choices((1, 2, 3, 4, 5), self.config.objects)[0]
        for _ in range(_TRIES):
            casts = _casts(self.sprites, self.config.concepts, self.config.styles, size)
            scene = draw_scene(rng, casts, objects, self.config.variation)
            if is_heldout(scene) == (self.config.split == "heldout"):
                return scene
        raise DataError(f"no {self.config.split} scene of {objects} objects at {size} px; add drawings")

    def _photographs_at(self, index: int) -> CaptionedPictures | None:
        """Give the photographs if picture `index` is one of them."""
        share = Random(f"{self.seed}/{index}/kind").random()
        return self.photographs if share < self.config.photographs else None


@lru_cache(maxsize=16)
def _casts(sprites: Sprites, count: int, styles: tuple[str, ...], size: int) -> Casts:
    """Choose what may appear at a size: beyond that of the chosen concepts, every larger drawing there is.

    Raises `DataError` if there are fewer concepts than are asked for.
    """
    drawn = tuple(concept for concept in listed() if sprites.has(concept))
    if count > len(drawn):
        raise DataError(f"{count} concepts: the art sets have {len(drawn)}; ask for fewer or add art")
    chosen = drawn[:count]
    if size > min(sprites.px(style, concept) for style in styles for concept in chosen):
        chosen = drawn
    return {
        style: tuple(concept for concept in chosen if sprites.px(style, concept) >= size) for style in styles
    }
