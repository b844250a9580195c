import numpy as np

from unclip.world import Sprites, World
from unclip.world.preview import sheet


def test_a_sheet_shows_the_pictures_over_their_captions(sprites: Sprites) -> None:
    world = World(sprites, 0)
    page = np.asarray(sheet(world, 10, 64))
    assert np.array_equal(page[:64, :64], world.example(0, 64).image)
    assert page[64:100, :64].min() < 100
    assert page.shape[0] > 2 * 64
    assert page.shape[1] >= 8 * 64
