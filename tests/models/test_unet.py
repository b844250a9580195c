from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unclip.models.unet import UNet, UNetConfig

CONFIG = UNetConfig(
    in_channels=3,
    out_channels=6,
    channels=(8, 16),
    depth=2,
    attention=(False, True),
    context_width=5,
    head_width=4,
    groups=4,
)


def network(**changes: Any) -> UNet:
    return UNet(replace(CONFIG, **changes)).eval()


def inputs(batch: int = 2, height: int = 8, width: int = 8) -> dict[str, Tensor]:
    return {
        "x": torch.randn(batch, 3, height, width),
        "t": torch.arange(batch) * 300 + 7,
        "added": torch.randn(batch, CONFIG.embed_width),
        "context": torch.randn(batch, 4, 5),
        "context_mask": torch.tensor([[True, True, False, True]]).expand(batch, -1),
    }


@pytest.mark.parametrize(("height", "width"), [(8, 8), (2, 6), (12, 4)])
@pytest.mark.parametrize("mid_attention", [True, False])
def test_the_prediction_has_the_pictures_size(height: int, width: int, mid_attention: bool) -> None:
    out = network(mid_attention=mid_attention)(**inputs(height=height, width=width))
    assert out.shape == (2, 6, height, width)


@pytest.mark.parametrize("name", ["x", "t", "added", "context"])
def test_every_input_matters(name: str) -> None:
    unet, given = network(), inputs()
    changed = {**given, name: given[name] + 1}
    assert not torch.allclose(unet(**changed), unet(**given), atol=1e-4)


def test_masked_context_does_not_matter() -> None:
    unet, given = network(), inputs()
    context = given["context"].clone()
    context[:, 2] += 10
    torch.testing.assert_close(unet(**{**given, "context": context}), unet(**given))


def test_a_row_does_not_depend_on_the_batch() -> None:
    unet, given = network(), inputs(batch=3)
    together = unet(**given)
    for k in range(3):
        alone = unet(**{name: tensor[k : k + 1] for name, tensor in given.items()})
        torch.testing.assert_close(together[k : k + 1], alone)


def test_patches_are_pixels_folded_into_channels() -> None:
    """A U-Net with patches is the one without on pixel-unshuffled pictures."""
    patched, plain = network(patch_size=2), network(in_channels=12, out_channels=24)
    plain.load_state_dict(patched.state_dict())
    given = inputs()
    folded = plain(**{**given, "x": F.pixel_unshuffle(given["x"], 2)})
    torch.testing.assert_close(patched(**given), F.pixel_shuffle(folded, 2))


def test_context_is_optional_and_so_is_attention() -> None:
    unet = network(attention=(False, False), mid_attention=False, context_width=None)
    x, t = torch.randn(1, 3, 8, 8), torch.tensor([5])
    assert unet(x, t).shape == (1, 6, 8, 8)
    assert not any("attention" in name for name in unet.state_dict())


def gradients(unet: UNet, given: dict[str, Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(unet(**given).square().sum(), list(unet.parameters())))


def test_checkpointing_changes_no_gradient() -> None:
    unet, given = network().train(), inputs()
    expected = gradients(unet, given)
    unet.checkpointing = True
    for kept, recomputed in zip(expected, gradients(unet, given), strict=True):
        torch.testing.assert_close(recomputed, kept)


def test_every_weight_is_used() -> None:
    assert all(gradient.any() for gradient in gradients(network(scale_shift=False), inputs()))


def test_half_precision_weights_give_half_precision_pictures() -> None:
    given = {
        name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in inputs().items()
    }
    out = network().bfloat16()(**given)
    assert out.dtype == torch.bfloat16
    assert out.isfinite().all()


def test_places_begin_unheard_and_then_every_level_hears_them() -> None:
    torch.manual_seed(1)
    placed, given = network(place_width=8), inputs(height=8, width=8)
    plain = network()
    missing = placed.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == [f"{side}.{level}.place.weight" for side in ("down", "up") for level in (0, 1)]
    torch.testing.assert_close(placed(**given), plain(**given))
    for name in missing:
        weight = placed.get_parameter(name)
        torch.nn.init.normal_(weight)
        assert not torch.allclose(placed(**given), plain(**given), atol=1e-3)
        torch.nn.init.zeros_(weight)
