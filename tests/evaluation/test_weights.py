"""The judges that come with the package: how large they are, and that they see what is there."""

import pytest
import torch

from unclip import presets
from unclip.evaluation.evaluate import Suite, sentences
from unclip.evaluation.judges.store import WEIGHTS, Judges, load_judges
from unclip.evaluation.look import Look, look
from unclip.evaluation.metrics import r_precision, squared_mmd
from unclip.evaluation.scores import scores
from unclip.evaluation.shown import rendered, text_embeds
from unclip.evaluation.suite import Item
from unclip.world import Sprites, WorldConfig

LARGEST_MIB = 6


@pytest.fixture(scope="module")
def shipped() -> Judges:
    return load_judges()


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return sentences(Suite("small", 8, 8, 1), WorldConfig())


@pytest.fixture(scope="module")
def seen(shipped: Judges, items: list[Item], sprites: Sprites) -> Look:
    return look(shipped, rendered(items, sprites, 1, 128, seed=5), len(items))


def test_they_are_small() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*")) < LARGEST_MIB << 20


def test_the_clip_is_of_another_shape_than_the_bundled_models(shipped: Judges) -> None:
    ours, theirs = shipped.clip.config, presets.bundled().clip
    assert ours.embed_dim != theirs.embed_dim
    assert (ours.image_width, ours.image_depth, ours.patch_size) != (
        theirs.image_width,
        theirs.image_depth,
        theirs.patch_size,
    )


def test_the_detector_finds_true_renders_right(items: list[Item], seen: Look) -> None:
    found = scores(items, seen.sights)
    assert all(score.right.mean >= 0.75 for score in found)  # of eight pictures, two may be missed
    assert sum(score.right.mean for score in found) / len(found) > 0.95


def test_sentences_are_nearest_to_their_own_renders(shipped: Judges, items: list[Item], seen: Look) -> None:
    texts = text_embeds(shipped.clip, shipped.tokenizer, [item.sentence for item in items])
    assert r_precision(seen.image_embed, texts) > 0.7


def test_features_tell_one_background_from_renders_of_all(
    shipped: Judges, items: list[Item], seen: Look, sprites: Sprites
) -> None:
    beach = [item for item in items if item.scene.background == "beach"]
    some = look(shipped, rendered(beach * 8, sprites, 1, 128, seed=6), 8 * len(beach)).features
    width = torch.cdist(seen.features, seen.features).median().item()
    even, odd = seen.features[::2], seen.features[1::2]
    assert squared_mmd(some, even, width) > 5 * abs(squared_mmd(odd, even, width))
