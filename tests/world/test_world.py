from pathlib import Path

import numpy as np
import pytest

from unclip.data.example import Pictures
from unclip.errors import DataError
from unclip.world import Sprites, World, WorldConfig, described, load_photographs, told


def test_a_picture_depends_on_seed_and_index_alone(sprites: Sprites, sample: Path) -> None:
    world, again = World(sprites, 7), World(Sprites.load(sample), 7)
    backwards = [again.example(index, 64) for index in reversed(range(12))][::-1]
    for index in range(12):
        example = world.example(index, 64)
        assert example.image.shape == (64, 64, 3)
        assert np.array_equal(example.image, backwards[index].image)
        assert example.caption == backwards[index].caption == world.caption(index)
    assert not np.array_equal(World(sprites, 8).example(0, 64).image, backwards[0].image)


def test_a_crop_is_a_window_of_the_picture(sprites: Sprites) -> None:
    world = World(sprites, 0)
    for index in range(6):
        window, picture = world.crop(index, 96, 32).astype(int), world.example(index, 96).image
        assert window.shape == (32, 32, 3)
        windows = np.lib.stride_tricks.sliding_window_view(picture, (32, 32), axis=(0, 1))
        distances = np.abs(windows.transpose(0, 1, 3, 4, 2).astype(int) - window).max((2, 3, 4))
        assert distances.min() <= 2


def test_large_crops_show_only_what_is_drawn_large(sprites: Sprites) -> None:
    world = World(sprites, 0)
    for index in range(30):
        scene = world.scene(index, 1024)
        assert all(sprites.px(scene.style, thing.concept) >= 1024 for thing in scene.things)
    assert world.crop(0, 1024, 128).shape == (128, 128, 3)


def test_more_concepts_than_there_are_is_an_error(sprites: Sprites) -> None:
    with pytest.raises(DataError, match=r"^1000 concepts: the art sets have 64"):
        World(sprites, 0, WorldConfig(concepts=1000)).example(0, 64)


def test_fewer_concepts_are_the_first_ones(sprites: Sprites) -> None:
    world = World(sprites, 0, WorldConfig(concepts=12))
    names = {thing.concept.name for index in range(300) for thing in world.scene(index).things}
    assert {"cat", "apple", "cube"} <= names
    assert "banana" in names
    assert "light bulb" not in names


def test_a_share_of_photographs(sprites: Sprites, sample: Path) -> None:
    world = World(sprites, 0, WorldConfig(photographs=0.3), load_photographs(sample, 0))
    captions = [world.caption(index) for index in range(300)]
    photographs = [
        caption for caption in captions if caption.startswith(("a photo", "a botanical", "a watercolour"))
    ]
    assert len(photographs) / 300 == pytest.approx(0.3, abs=0.08)
    index = captions.index(photographs[0])
    assert world.example(index, 64).image.shape == (64, 64, 3)
    assert world.example(index, 64).caption == photographs[0]
    assert world.crop(index, 64, 32).shape == (32, 32, 3)
    assert world.crop(index, 1024, 32).shape == (32, 32, 3)


def test_it_is_a_source_of_training_pictures(sprites: Sprites) -> None:
    pictures: Pictures = World(sprites, 0)
    assert pictures.example(10**9, 32).image.dtype == np.uint8


@pytest.mark.parametrize(
    "config",
    [
        WorldConfig(),
        WorldConfig(concepts=12, styles=("3d", "flat"), variation=0.5, photographs=0.025),
        WorldConfig(styles=("cartoon",)),
        WorldConfig(variation=0.0),
    ],
)
def test_a_description_tells_what_a_world_shows(config: WorldConfig) -> None:
    assert told(described(config, 7)) == (config, 7)


def test_other_words_tell_of_no_world() -> None:
    assert told("holiday pictures, seed 3") is None
