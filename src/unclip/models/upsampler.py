"""The upsamplers: from a picture to the same picture with four times the side."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from unclip.models.unet import UNet, UNetConfig


@dataclass(frozen=True)
class UpsamplerConfig:
    """Shape of an upsampler from `low_size` to `image_size` pixels a side."""

    low_size: int
    image_size: int
    unet: UNetConfig  # takes 6 channels: the noised picture and the resized low_res
    residual: bool = False  # the U-Net predicts what x0 has beyond the resized low_res, at first nothing
    last_step: bool = False  # a second U-Net of the same shape takes the last step, t = 0


class Upsampler(nn.Module):
    """A convolutional U-Net that sees the low-resolution picture resized beside the noised one.

    Without attention, so that it learns from crops and runs on whole pictures. Source: Ramesh et al. 2022,
    section 2.1; the concatenated bicubic resize, and the second network for the last step, as in Karlo.
    `residual` is for processes that predict x0.
    """

    def __init__(self, config: UpsamplerConfig):
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.last_unet = UNet(config.unet) if config.last_step else None
        if config.residual:
            for unet in filter(None, (self.unet, self.last_unet)):
                for parameter in unet.conv_out.parameters():
                    nn.init.zeros_(parameter)

    def forward(
        self,
        x_t: Float[Tensor, "b 3 h w"],
        t: Shaped[Tensor, " b"],
        low_res: Float[Tensor, "b 3 h_low w_low"],
    ) -> Float[Tensor, "b c_out h w"]:
        """Predict from a noised picture and its low-resolution version, both in [-1, 1]."""
        size = (x_t.shape[-2], x_t.shape[-1])
        resized = F.interpolate(low_res, size, mode="bicubic", antialias=True, align_corners=False)
        output = self._predicted(torch.cat([x_t, resized], dim=1), t)
        return output + resized if self.config.residual else output

    def _predicted(self, x: Float[Tensor, "b 6 h w"], t: Shaped[Tensor, " b"]) -> Tensor:
        last = t == 0
        if self.last_unet is None or not last.any():
            return self.unet(x, t)
        if last.all():
            return self.last_unet(x, t)
        output = x.new_empty(len(x), self.config.unet.out_channels, *x.shape[2:])
        output[last], output[~last] = self.last_unet(x[last], t[last]), self.unet(x[~last], t[~last])
        return output
