import re
from pathlib import Path

import pytest

from unclip.data.shards import read_records
from unclip.errors import DataError
from unclip.world import Sprites, World, WorldConfig, load_photographs
from unclip.world.heldout import holds_photograph
from unclip.world.photographs import PHOTOGRAPH_SETS

HELD = ["daisy-7"]


def test_captions_have_several_wordings_and_stay_what_they_are(sample: Path) -> None:
    captions = list(load_photographs(sample, 0).captions())
    assert any(caption.startswith("a photograph of ") for caption in captions)
    assert any(caption.startswith("a watercolour painting of ") for caption in captions)
    assert all(re.match("a (photo|botanical|watercolour)", caption) for caption in captions)


def test_produce_in_a_shop_is_in_the_plural(sample: Path) -> None:
    shops = [caption for caption in load_photographs(sample, 0).captions() if caption.endswith(" in a shop")]
    assert shops
    assert all(
        re.search(r"(s|asparagus|cabbage|garlic|ginger|zucchini) in a shop$", caption) for caption in shops
    )


def test_held_out_photographs_are_a_tenth_chosen_by_their_keys_and_never_trained_on(sample: Path) -> None:
    train, heldout = (load_photographs(sample, 0, split) for split in ("train", "heldout"))
    assert {record.key for record in train.records}.isdisjoint(record.key for record in heldout.records)
    every = [r for name in PHOTOGRAPH_SETS for r in read_records(sample / name / f"{name}.tar")]
    assert len(train) + len(heldout) == len(every)
    assert [record.key for record in heldout.records] == [r.key for r in every if holds_photograph(r.key)]
    keys = [f"daisy-{number}" for number in range(4_000)]
    assert sum(map(holds_photograph, keys)) / len(keys) == pytest.approx(0.1, abs=0.02)
    assert [key for key in keys[:24] if holds_photograph(key)] == HELD  # the same for ever


def test_a_world_with_photographs_shows_none_that_is_held_out(sprites: Sprites, sample: Path) -> None:
    world = World(sprites, 0, WorldConfig(photographs=1.0), load_photographs(sample, 0))
    assert world.photographs is not None
    heldout = load_photographs(sample, 0, "heldout")
    theirs = [heldout.example(index, 32).image.tobytes() for index in range(len(heldout))]
    shown = {world.example(index, 32).image.tobytes() for index in range(len(world.photographs))}
    assert shown.isdisjoint(theirs)


def test_a_folder_without_photographs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs to train on; give a folder with one of tf-flowers"):
        load_photographs(tmp_path, 0)
