from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unclip import presets
from unclip.errors import RequestError
from unclip.models.clip import Clip
from unclip.system import System

CONFIG = presets.tiny().clip


@pytest.fixture
def clip(system: System) -> Clip:
    return system.clip


def captions(*lengths: int) -> tuple[Tensor, Tensor]:
    """Tokens and mask of captions that long."""
    tokens = torch.randint(CONFIG.vocab_size, (len(lengths), CONFIG.context_length))
    return tokens, torch.arange(CONFIG.context_length) < torch.tensor(lengths)[:, None]


def test_the_text_embedding_ignores_padding(clip: Clip) -> None:
    tokens, mask = captions(5, 9)
    embed, encodings = clip.encode_text(tokens, mask)
    padded_otherwise, encodings_otherwise = clip.encode_text(tokens.where(mask, 7), mask)
    torch.testing.assert_close(padded_otherwise, embed)
    torch.testing.assert_close(encodings_otherwise[mask], encodings[mask])
    unpadded, _ = clip.encode_text(tokens[:1, :5], mask[:1, :5])
    torch.testing.assert_close(unpadded, embed[:1])


def test_the_text_embedding_is_read_at_the_end(clip: Clip) -> None:
    tokens, mask = captions(9)
    embed, _ = clip.encode_text(tokens, mask)
    for place in (0, 8):
        other = tokens.clone()
        other[0, place] = (other[0, place] + 1) % CONFIG.vocab_size
        assert not torch.allclose(clip.encode_text(other, mask)[0], embed, atol=1e-4)


def test_embeddings_have_unit_length_unless_told_otherwise(clip: Clip) -> None:
    raw = Clip(replace(CONFIG, normalize=False)).eval()
    raw.load_state_dict(clip.state_dict())
    tokens, mask = captions(4, 6)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    for embed, unscaled in (
        (clip.encode_image(images), raw.encode_image(images)),
        (clip.encode_text(tokens, mask)[0], raw.encode_text(tokens, mask)[0]),
    ):
        torch.testing.assert_close(embed.norm(dim=-1), torch.ones(2))
        torch.testing.assert_close(F.normalize(unscaled, dim=-1), embed)
        assert not torch.allclose(unscaled, embed, atol=1e-2)
    torch.testing.assert_close(raw(images, tokens, mask), clip(images, tokens, mask))


def test_pictures_of_another_size_are_resized(clip: Clip) -> None:
    images = torch.rand(2, 3, 128, 128) * 2 - 1
    small = F.interpolate(images, (64, 64), mode="bicubic", antialias=True).clamp(-1, 1)
    torch.testing.assert_close(clip.encode_image(images), clip.encode_image(small))


def test_logits_are_scaled_cosines_of_pictures_by_captions(clip: Clip) -> None:
    tokens, mask = captions(4, 6, 8)
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    image, (text, _) = clip.encode_image(images), clip.encode_text(tokens, mask)
    cosine = F.cosine_similarity(image[1], text[2], dim=0)
    torch.testing.assert_close(clip(images, tokens, mask)[1, 2], cosine / 0.07)


def test_the_scale_is_capped_at_100() -> None:
    clip = Clip(CONFIG)
    torch.nn.init.constant_(clip.logit_scale, 50.0)
    assert clip(torch.rand(2, 3, 64, 64), *captions(4, 6)).abs().max() <= 100


@pytest.mark.parametrize("shift", [(0, 16), (16, 0)])
def test_where_things_are_matters(clip: Clip, shift: tuple[int, int]) -> None:
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    assert not torch.allclose(
        clip.encode_image(image.roll(shift, (2, 3))), clip.encode_image(image), atol=1e-3
    )


def test_patch_states_are_one_per_patch_each_normal(clip: Clip) -> None:
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    states = clip.image.patch_states(images)
    assert states.shape == (2, 16, CONFIG.image_width)
    torch.testing.assert_close(states.mean(dim=-1), torch.zeros(2, 16), atol=1e-5, rtol=0)
    torch.testing.assert_close(states.var(dim=-1, unbiased=False), torch.ones(2, 16), atol=1e-2, rtol=0)


@pytest.mark.parametrize("depth", [1, 2])
def test_patch_states_are_those_the_last_block_reads(depth: int) -> None:
    clip = Clip(replace(CONFIG, image_depth=depth)).eval()
    seen = list[Tensor]()
    clip.image.transformer.blocks[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    clip.encode_image(images)
    expected = F.layer_norm(seen[0][:, 1:], (CONFIG.image_width,))
    torch.testing.assert_close(clip.image.patch_states(images), expected)


def test_without_an_image_tower_pictures_are_refused(clip: Clip) -> None:
    text_alone = Clip(replace(clip.config, image_size=0))
    assert text_alone.image is None
    with pytest.raises(RequestError, match="no image encoder and draws from sentences alone: give one"):
        text_alone.encode_image(torch.zeros(1, 3, 8, 8))


def test_colours_are_standardised_as_the_tower_was_trained(clip: Clip) -> None:
    mean, std = (0.2, 0.4, 0.6), (0.1, 0.2, 0.3)
    other = Clip(replace(clip.config, pixel_mean=mean, pixel_std=std)).eval()
    other.load_state_dict(clip.state_dict())
    size = clip.config.image_size
    images = torch.rand(2, 3, size, size) * 2 - 1
    shifted = ((images + 1) / 2 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(other.encode_image(images), clip.encode_image(shifted))


def test_mlps_can_have_another_width(clip: Clip) -> None:
    other = Clip(replace(clip.config, text_mlp_width=37, image_mlp_width=41))
    assert other.text.transformer.blocks[0].widen.out_features == 37
    assert other.image is not None
    assert other.image.transformer.blocks[0].widen.out_features == 41
