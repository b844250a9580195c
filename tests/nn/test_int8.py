import pytest
import torch
from torch import nn

from unclip.nn.int8 import SMALLEST_INT8, Int8Conv2d, Int8Linear, int8_rows, quantised


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_computes_with_its_rounded_weight(bias: bool, dtype: torch.dtype) -> None:
    linear, conv = nn.Linear(96, 64, bias=bias), nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=bias)
    for layer, x in ((linear, torch.randn(5, 96)), (conv, torch.randn(2, 16, 9, 9))):
        layer, x = layer.to(dtype), x.to(dtype)
        small = quantised(layer)
        assert isinstance(small, Int8Linear | Int8Conv2d)
        weight, scale = int8_rows(layer.weight.detach().float())
        layer.weight.data = (weight * scale.float()).to(dtype)
        tolerance = 1e-5 if dtype == torch.float32 else 3e-2
        torch.testing.assert_close(small(x), layer(x), rtol=tolerance, atol=tolerance)


def test_a_layer_takes_a_byte_for_a_weight() -> None:
    small = quantised(nn.Linear(96, 64))
    assert sum(tensor.numel() * tensor.itemsize for tensor in small.state_dict().values()) < 1.1 * 96 * 64


def test_small_layers_and_others_stay() -> None:
    for layer in (nn.Linear(8, 8), nn.Conv2d(3, 3, 3), nn.LayerNorm(SMALLEST_INT8), nn.Embedding(512, 64)):
        assert quantised(layer) is layer
