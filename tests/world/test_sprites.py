import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from unclip.errors import DataError
from unclip.world import Sprites, World
from unclip.world.concepts import SOLIDS, listed

CAT, APPLE = listed()[:2]


def test_drawings_are_kept_a_little_larger_than_asked(sprites: Sprites) -> None:
    for px in (20, 33, 64, 80):
        assert px <= sprites.image("flat", CAT, px).width <= 1.5 * px


def test_the_largest_drawing_is_used_where_there_is_one(sprites: Sprites) -> None:
    large = next(
        concept for concept in listed() if sprites.has(concept) and sprites.px("flat", concept) == 1024
    )
    assert sprites.image("flat", large, 700).width == 724
    assert sprites.image("flat", large, 60).width == 64
    assert sprites.px("3d", CAT) == 96


def test_the_extent_encloses_what_is_drawn(sprites: Sprites) -> None:
    extent = sprites.extent("3d", APPLE)
    alpha = np.asarray(sprites.image("3d", APPLE, 96))[..., 3]
    rows = np.flatnonzero((alpha > 24).any(1))
    assert rows[0] == pytest.approx(96 * extent.top, abs=3)
    assert rows[-1] + 1 == pytest.approx(96 * extent.bottom, abs=3)


def test_solids_can_be_drawn_at_every_size(sprites: Sprites) -> None:
    assert sprites.px("3d", SOLIDS[0]) == 1024
    assert sprites.image("3d", SOLIDS[0], 300).width == 362


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fluent-3d\.tar: no such shard"):
        Sprites.load(tmp_path)


def test_a_broken_drawing_is_named_by_its_key(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(sample, folder)
    art = Sprites.load(folder).drawings["flat", "cat"][0].picture
    with art.path.open("r+b") as shard:
        shard.seek(art.start + 12)
        shard.write(bytes(art.length - 12))
    with pytest.raises(DataError, match=r"fluent-flat\.tar:cat\.webp: not a picture"):
        Sprites.load(folder)


def test_another_process_can_have_the_world(sprites: Sprites) -> None:
    world = World(sprites, 5)
    copy = pickle.loads(pickle.dumps(world))
    assert np.array_equal(copy.example(3, 64).image, world.example(3, 64).image)
