from dataclasses import replace

import numpy as np
import pytest

from unclip.world import Sprites, World, WorldConfig
from unclip.world.backgrounds import VARIANTS, background
from unclip.world.canvas import whole
from unclip.world.render import render


@pytest.mark.parametrize("size", [64, 96])
def test_a_part_is_the_part_of_the_whole(sprites: Sprites, size: int) -> None:
    world = World(sprites, 0)
    for index in range(40):
        scene = world.scene(index)
        box = (7, 11, 7 + size // 2, 11 + size // 2)
        part = render(scene, sprites, size, box)
        full = render(scene, sprites, size)[box[1] : box[3], box[0] : box[2]]
        assert np.abs(part.astype(int) - full).max() <= 2


def test_a_scene_is_the_same_scene_at_every_size(sprites: Sprites) -> None:
    world = World(sprites, 0)
    for index in range(20):
        scene = world.scene(index)
        small = render(scene, sprites, 32).astype(float)
        large = render(scene, sprites, 96).reshape(32, 3, 32, 3, 3).mean((1, 3))
        assert np.abs(small - large).mean() < 8


def test_things_stand_out_from_their_background(sprites: Sprites) -> None:
    world = World(sprites, 0, WorldConfig(objects=(1.0, 0.0, 0.0, 0.0, 0.0)))
    for index in range(60):
        scene = world.scene(index)
        empty = background(scene.background, scene.nuisance % VARIANTS, 64, whole(64))
        changed = np.abs(render(scene, sprites, 64).astype(int) - empty).sum(-1) > 30
        assert changed.mean() > (0.02 if scene.things[0].size == "small" else 0.04), scene


def test_nuisance_changes_the_picture_and_not_the_scene(sprites: Sprites) -> None:
    scene = World(sprites, 0).scene(0)
    other = replace(scene, nuisance=scene.nuisance + 1)
    assert not np.array_equal(render(scene, sprites, 64), render(other, sprites, 64))
