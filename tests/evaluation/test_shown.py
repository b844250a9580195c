"""What sentences are shown with: true scenes, the same through a decoder's size, and the nearest captions."""

import numpy as np
import pytest
import torch
from PIL import Image

from unclip.errors import DataError
from unclip.evaluation.draw import picture_file
from unclip.evaluation.shown import drawn, rendered, retrieved, text_embeds, upsampled
from unclip.evaluation.suite import Item, suite
from unclip.images import to_tensor
from unclip.system import System
from unclip.world import Sprites, World, WorldConfig
from unclip.world.render import render


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return list(suite(WorldConfig(), 2, unseen=False))


def test_renders_of_a_sentence_differ_in_what_it_leaves_open_and_by_seed(
    items: list[Item], sprites: Sprites
) -> None:
    shown = rendered(items, sprites, 2, 64, seed=1)
    images = shown(0)
    assert images.shape == (2, 3, 64, 64)
    assert torch.equal(images, shown(0))
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images, rendered(items, sprites, 2, 64, seed=2)(0))
    assert not torch.equal(images[0], to_tensor(render(items[0].scene, sprites, 64)))


def test_what_was_drawn_is_read_back_and_a_torn_file_is_named(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    picture_file(folder, 3, 0).parent.mkdir()
    for k in range(2):
        Image.fromarray(pixels[k]).save(picture_file(folder, 3, k))
    assert torch.equal(drawn(folder, 2)(3), to_tensor(pixels))
    picture_file(folder, 3, 1).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"00003.1\.png: not a whole picture"):
        drawn(folder, 2)(3)


def test_upsampled_pictures_are_drawn_anew_from_a_quarter_of_their_side(
    items: list[Item], sprites: Sprites, system: System
) -> None:
    shown = rendered(items, sprites, 1, 256, seed=1)
    again = upsampled(shown, system.upsamplers[0])(0)
    assert again.shape == (1, 3, 256, 256)
    assert again.abs().max() <= 1
    assert not torch.allclose(again, shown(0), atol=0.1)


def test_a_caption_of_training_retrieves_its_own_picture(system: System, sprites: Sprites) -> None:
    world = World(sprites, 3)
    asked = [Item(world.caption(index), world.scene(index), False, {}) for index in (4, 17)]
    shown = retrieved(asked, world, 20, system.clip, system.tokenizer, k=2, size=64)
    own = [to_tensor(world.example(index, 64).image) for index in (4, 17)]
    assert all(torch.equal(shown(row)[0], own[row]) for row in (0, 1))


def test_sentences_are_embedded_alike_alone_and_among_many(system: System) -> None:
    sentences = [f"a {word} cube" for word in ("red", "blue", "green")] * 90
    together = text_embeds(system.clip, system.tokenizer, sentences)
    assert together.shape == (270, system.clip.config.embed_dim)
    assert torch.allclose(
        together[266:267], text_embeds(system.clip, system.tokenizer, sentences[266:267]), atol=1e-5
    )
