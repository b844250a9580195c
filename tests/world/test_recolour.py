import colorsys

import numpy as np
import pytest

from unclip.world import Sprites
from unclip.world.concepts import listed
from unclip.world.recolour import recolour
from unclip.world.words import COLOURS, STYLES

HUED = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
SOME = [concept for concept in listed()[:60] if concept.recolour][::3]


def painted(sprites: Sprites, style: str, concept: object, colour: str) -> np.ndarray:
    """The opaque pixels of the body, in [0, 1]."""
    before = np.asarray(sprites.image(style, concept, 64))
    after = recolour(before, sprites.body(style, concept), colour)
    changed = (np.abs(after.astype(int) - before).sum(-1) > 24) & (before[..., 3] == 255)
    return after[changed][:, :3] / 255


@pytest.mark.parametrize("colour", HUED)
def test_the_mean_hue_is_near_the_colours(sprites: Sprites, colour: str) -> None:
    target = colorsys.rgb_to_hsv(*(value / 255 for value in COLOURS[colour]))[0]
    for concept in SOME:
        for style in STYLES:
            pixels = painted(sprites, style, concept, colour)
            hue, saturation, _ = colorsys.rgb_to_hsv(*pixels.mean(0))
            assert abs((hue - target + 0.5) % 1 - 0.5) < 0.06, (concept.name, style)
            assert saturation > 0.25, (concept.name, style)


def test_black_is_dark_and_white_is_light(sprites: Sprites) -> None:
    for concept in SOME:
        for style in STYLES:
            assert np.median(painted(sprites, style, concept, "black")) < 0.35, (concept.name, style)
            assert np.median(painted(sprites, style, concept, "white")) > 0.65, (concept.name, style)


def test_shading_and_transparency_stay(sprites: Sprites) -> None:
    apple = listed()[1]
    before = np.asarray(sprites.image("3d", apple, 64))
    after = recolour(before, sprites.body("3d", apple), "blue")
    assert np.array_equal(after[..., 3], before[..., 3])
    assert (after[..., :3] <= after[..., 3:]).all()
    opaque = before[..., 3] == 255
    assert np.corrcoef(before[opaque][:, :3].sum(-1), after[opaque][:, :3].sum(-1))[0, 1] > 0.5


def test_what_has_another_hue_stays(sprites: Sprites) -> None:
    # A strawberry is red and has green leaves.
    strawberry = next(concept for concept in listed() if concept.name == "strawberry")
    before = np.asarray(sprites.image("flat", strawberry, 64)).astype(int)
    after = recolour(before.astype(np.uint8), sprites.body("flat", strawberry), "blue").astype(int)
    red, green, _, alpha = np.moveaxis(before, -1, 0)
    leaves = (alpha == 255) & (green > red + 60)
    assert leaves.sum() > 20
    assert np.abs(after - before)[leaves].mean() < 4
