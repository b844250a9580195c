"""Weights in one byte each, turned back into numbers only while they are multiplied with."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Int8
from torch import Tensor, nn

SMALLEST_INT8 = 4096  # tensors with fewer numbers save nothing worth their rounding


def int8_rows(tensor: Float[Tensor, " m *n"]) -> tuple[Int8[Tensor, " m *n"], Float16[Tensor, " m *_"]]:
    """Return a weight as int8, |w| <= 127, and the float16 scale of each of its output channels."""
    largest = tensor.abs().flatten(1).amax(dim=1).view(-1, *[1] * (tensor.ndim - 1))
    scale = (largest / 127).clamp(min=1e-7).half()
    # Rounded up, or the largest weights would not fit into 127 steps.
    scale = torch.where(scale.float() * 127 < largest, scale.nextafter(scale.new_tensor(torch.inf)), scale)
    return (tensor / scale.float()).round().clamp(-127, 127).to(torch.int8), scale


class Int8Layer(nn.Module):
    """A linear layer or a convolution for inference whose weight is int8, with a scale for each output.

    The scale is multiplied to what comes out, so that turning the weight into floats rounds nothing.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        weight, scale = int8_rows(layer.weight.detach().float())
        bias: Tensor | None = layer.bias
        dtype, shape = layer.weight.dtype, scale.shape[:-1] if isinstance(layer, nn.Conv2d) else (-1,)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.view(shape).to(dtype))
        self.register_buffer("bias", None if bias is None else bias.detach().view(shape))

    def _finished(self, y: Tensor) -> Tensor:
        y = y.mul_(self.scale)
        return y if self.bias is None else y.add_(self.bias)


class Int8Linear(Int8Layer):
    """A linear layer of one byte a weight."""

    def forward(self, x: Float[Tensor, "*b n"]) -> Float[Tensor, "*b m"]:
        """Return x W^T + bias."""
        return self._finished(F.linear(x, self.weight.to(x.dtype)))


class Int8Conv2d(Int8Layer):
    """A convolution of one byte a weight."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer)
        assert not isinstance(layer.padding, str)
        self.stride, self.padding = layer.stride, layer.padding

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c_out h_out w_out"]:
        """Convolve."""
        return self._finished(F.conv2d(x, self.weight.to(x.dtype), None, self.stride, self.padding))


def quantised(layer: nn.Module) -> nn.Module:
    """Return a layer with its weight as int8; small ones, and modules of other kinds, as they are."""
    if isinstance(layer, nn.Linear) and layer.weight.numel() >= SMALLEST_INT8:
        return Int8Linear(layer)
    if isinstance(layer, nn.Conv2d) and layer.weight.numel() >= SMALLEST_INT8:
        return Int8Conv2d(layer)
    return layer
