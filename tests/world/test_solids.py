import numpy as np
import pytest

from unclip.world.concepts import SOLIDS
from unclip.world.solids import SOLID_SHAPES, solid


def test_every_solid_has_a_shape() -> None:
    assert {concept.name for concept in SOLIDS} == SOLID_SHAPES.keys()


@pytest.mark.parametrize("name", SOLID_SHAPES)
def test_a_solid_is_grey_shaded_and_the_same_at_every_size(name: str) -> None:
    small, large = (np.asarray(solid(name, px), float) for px in (64, 256))
    assert np.ptp(small[..., :3], axis=-1).max() == 0
    assert small[small[..., 3] == 255][:, 0].std() > 8
    reduced = large.reshape(64, 4, 64, 4, 4).mean((1, 3))
    assert np.abs(small - reduced)[..., 3].mean() < 2
    assert 0.3 < (small[..., 3] > 128).mean() < 0.8


def test_the_faces_of_a_cube_are_lit_apart() -> None:
    pixels = np.asarray(solid("cube", 128))
    top, left, right = pixels[36, 64, 0], pixels[84, 32, 0], pixels[84, 96, 0]
    assert top > left + 30 > right + 60
