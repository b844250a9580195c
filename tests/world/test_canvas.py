import math
from random import Random

import numpy as np
import pytest

from unclip.world.backgrounds import BACKGROUNDS, VARIANTS, background
from unclip.world.canvas import Canvas, whole


def test_shapes_cover_their_areas() -> None:
    for size in (64, 300):
        canvas = Canvas(size, whole(size))
        canvas.ellipse(0.5, 0.5, 0.3, 0.2, (255, 0, 0))
        canvas.rectangle(0.1, 0.8, 0.5, 0.9, (0, 255, 0))
        canvas.triangle(0.5, 0.02, 0.22, 0.4, (0, 0, 255))
        areas = canvas.pixels.mean((0, 1)) / 255
        assert areas == pytest.approx([math.pi * 0.06, 0.04, 0.04], abs=0.003)


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_part_of_a_background_is_the_part_of_the_whole(name: str) -> None:
    full = background(name, 5, 200, whole(200))
    part = background(name, 5, 200, (50, 90, 130, 170))
    assert np.array_equal(part, full[90:170, 50:130])


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_a_background_looks_the_same_at_every_size_and_varies(name: str) -> None:
    def small(variant: int, size: int) -> np.ndarray:
        step = size // 16
        return background(name, variant, size, whole(size)).reshape(16, step, 16, step, 3).mean((1, 3))

    assert np.abs(small(3, 64) - small(3, 192)).mean() < 3
    assert any(np.abs(small(3, 64) - small(variant, 64)).mean() > 0.5 for variant in range(4, 10))


def test_backgrounds_are_told_apart() -> None:
    rng = Random(0)
    variants = [rng.sample(range(VARIANTS), 2) for _ in BACKGROUNDS]
    means = [
        [background(name, variant, 32, whole(32)).astype(float) for variant in pair]
        for name, pair in zip(BACKGROUNDS, variants, strict=True)
    ]
    for i, (mine, again) in enumerate(means):
        for j, (other, _) in enumerate(means):
            assert i == j or np.abs(mine - other).mean() > 12, (list(BACKGROUNDS)[i], list(BACKGROUNDS)[j])
        assert np.abs(mine - again).mean() < 60
