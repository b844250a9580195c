from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from unclip import presets
from unclip.models.decoder import Decoder, guided_copy

CONFIG = presets.tiny().decoder
MASK = torch.arange(6) < torch.tensor([3, 5])[:, None]


def network(**changes: Any) -> Decoder:
    decoder = Decoder(replace(CONFIG, **{"embed_scale": 1.0, **changes})).eval()
    nn.init.normal_(decoder.null_image_embed)
    return decoder


def inputs() -> dict[str, Any]:
    return {
        "x_t": torch.randn(2, 3, 64, 64),
        "t": torch.tensor([3, 700]),
        "image_embed": torch.randn(2, CONFIG.embed_dim),
        "image_mask": torch.tensor([True, True]),
        "text_embed": torch.randn(2, CONFIG.embed_dim),
        "text_encodings": torch.randn(2, 6, CONFIG.text_width),
        "text_mask": MASK,
    }


@pytest.mark.parametrize("name", ["x_t", "image_embed", "text_embed", "text_encodings"])
@pytest.mark.parametrize("text_depth", [0, 2])
def test_every_input_matters(name: str, text_depth: int) -> None:
    decoder, given = network(text_depth=text_depth), inputs()
    changed = {**given, name: torch.randn_like(given[name])}
    assert not torch.allclose(decoder(**changed), decoder(**given), atol=1e-4)


def test_an_absent_image_is_the_null_embedding() -> None:
    decoder, given = network(), inputs()
    absent = {**given, "image_mask": torch.tensor([True, False])}
    other = {**absent, "image_embed": given["image_embed"] + torch.tensor([[0.0], [5.0]])}
    torch.testing.assert_close(decoder(**other), decoder(**absent))
    null = given["image_embed"].clone()
    null[1] = decoder.null_image_embed.detach()
    torch.testing.assert_close(decoder(**{**given, "image_embed": null}), decoder(**absent))
    assert not torch.allclose(decoder(**absent)[1], decoder(**given)[1], atol=1e-4)


@pytest.mark.parametrize("text_depth", [0, 2])
def test_only_unmasked_text_is_seen(text_depth: int) -> None:
    decoder, given = network(text_depth=text_depth), inputs()
    beyond = given["text_encodings"].where(MASK[..., None], torch.tensor(9.0))
    torch.testing.assert_close(decoder(**{**given, "text_encodings": beyond}), decoder(**given))


@pytest.mark.parametrize("text_depth", [0, 2])
def test_padding_may_be_left_off(text_depth: int) -> None:
    decoder, given = network(text_depth=text_depth), inputs()
    short = {**given, "text_encodings": given["text_encodings"][:, :5], "text_mask": MASK[:, :5]}
    torch.testing.assert_close(decoder(**short), decoder(**given))


def test_the_image_comes_first_in_the_context_as_karlo_lays_it_out() -> None:
    """Karlo's projection is cut with the token as the innermost axis."""
    decoder, given, seen = network(text_depth=0), inputs(), list[Any]()
    decoder.unet.register_forward_pre_hook(lambda _, args: seen.extend(args))
    decoder(**given)
    context, mask = seen[3:]
    assert CONFIG.unet.context_width is not None
    image = decoder.image_context(given["image_embed"]).reshape(2, CONFIG.unet.context_width, 4)
    torch.testing.assert_close(context[:, :4], image.permute(0, 2, 1))
    assert mask.tolist() == [[True] * 4 + row for row in MASK.tolist()]


def randomized(decoder: Decoder) -> Decoder:
    """Give the guidance scale a voice."""
    assert decoder.guidance_embed is not None
    nn.init.normal_(decoder.guidance_embed.linear_2.weight)
    return decoder


def test_a_guided_copy_says_the_same_at_every_scale() -> None:
    decoder, given = network(), inputs()
    copy = guided_copy(decoder)
    assert copy.config == replace(decoder.config, guided=True)
    for scales in ([1.0, 4.0], [0.0, 100.0]):
        torch.testing.assert_close(copy(**given, guidance=torch.tensor(scales)), decoder(**given))
    assert all(parameter.requires_grad for parameter in copy.parameters())


def test_a_guided_copy_of_a_guided_decoder_is_the_same() -> None:
    decoder, given = randomized(network(guided=True)), inputs()
    given["guidance"] = torch.tensor([1.0, 4.0])
    torch.testing.assert_close(guided_copy(decoder).eval()(**given), decoder(**given))


def test_every_row_hears_its_own_guidance_scale() -> None:
    decoder, given = randomized(network(guided=True)), inputs()
    first, second = (decoder(**given, guidance=torch.tensor([2.0, s])) for s in (1.0, 1.5))
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1], atol=1e-4)


@pytest.mark.parametrize("guided", [True, False])
def test_a_scale_is_for_guided_decoders_and_for_no_others(guided: bool) -> None:
    given = inputs() | ({} if guided else {"guidance": torch.ones(2)})
    with pytest.raises(AssertionError):
        network(guided=guided)(**given)


def test_embeddings_are_scaled_before_anything_hears_them() -> None:
    torch.manual_seed(0)
    small, given = network(), inputs()
    scaled = network(embed_scale=4.0)
    scaled.load_state_dict(small.state_dict())
    quarter = {**given, "text_embed": given["text_embed"] / 4, "image_embed": given["image_embed"] / 4}
    torch.testing.assert_close(scaled(**quarter), small(**given))
    assert not torch.allclose(scaled(**given), small(**given), atol=1e-4)
    absent = {**given, "image_mask": torch.zeros_like(given["image_mask"])}
    torch.testing.assert_close(scaled(**{**quarter, "image_mask": absent["image_mask"]}), small(**absent))
