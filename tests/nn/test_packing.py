import pytest
import torch
from torch import nn

from unclip.nn.packing import PackedConv2d, PackedLinear, can_pack, packed

pytestmark = pytest.mark.skipif(not can_pack(), reason="this build of torch has no oneDNN operators")


@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_computes_what_it_did(bias: bool) -> None:
    linear, conv = nn.Linear(96, 64, bias=bias), nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=bias)
    for layer, x in ((linear, torch.randn(2, 5, 96)), (conv, torch.randn(2, 32, 9, 9))):
        layer, x = layer.bfloat16().requires_grad_(False), x.bfloat16()
        expected = layer(x)
        other = packed(layer)
        assert isinstance(other, PackedLinear | PackedConv2d)
        torch.testing.assert_close(other(x), expected, rtol=2e-2, atol=2e-2)


def test_pictures_stay_channels_last() -> None:
    layer = packed(nn.Conv2d(32, 64, 3, padding=1).bfloat16().requires_grad_(False))
    x = torch.randn(2, 32, 8, 8).bfloat16().contiguous(memory_format=torch.channels_last)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_other_layers_stay() -> None:
    for layer in (nn.LayerNorm(8), nn.Embedding(8, 8), nn.GroupNorm(2, 8)):
        assert packed(layer) is layer
