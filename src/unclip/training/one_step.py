"""An upsampler in one step: it learns from pictures alone, with CLIP's eye for what matters in them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor, nn

from unclip.data.example import Example, Pictures
from unclip.models.clip import ImageTower
from unclip.training.batches import Batch, Steps
from unclip.training.distillation import sheet_noise
from unclip.training.tasks import device_of, normal_like
from unclip.training.upsampling import UpsamplerTask, psnr, reduced


@dataclass(frozen=True)
class OneStepTask:
    """An upsampler's one step from pure noise: mean absolute error, and the distance in CLIP's features.

    The second keeps textures that the first alone would average away.
    """

    crops: UpsamplerTask
    tower: ImageTower
    feature_weight: float

    def draw(self, pictures: Pictures, index: int, size: int) -> Example:
        """Return a crop of `size` pixels of a picture of the target size."""
        return self.crops.draw(pictures, index, size)

    def prepare(self, network: nn.Module, steps: Steps) -> None:
        """Fit nothing."""

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the weighted sum."""
        pixels = batch.pixels(device_of(network))
        low_res = self.crops.low_res(batch, pixels, generator)
        x0 = self._one_step(network, low_res, normal_like(pixels, generator))
        features = feature_distance(self.tower, x0, pixels) if self.feature_weight else 0.0
        return (x0 - pixels).abs().mean() + self.feature_weight * features

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """PSNR in dB and distance in CLIP's features, of the one-step result and of bicubic resizing."""
        pixels = batch.pixels(device_of(network))
        low_res = reduced(pixels)
        x0 = self._one_step(network, low_res, normal_like(pixels, generator))
        bicubic = F.interpolate(low_res, pixels.shape[-2:], mode="bicubic", antialias=True)
        return {
            "psnr": psnr(x0, pixels),
            "psnr_bicubic": psnr(bicubic, pixels),
            "features": feature_distance(self.tower, x0, pixels).item(),
            "features_bicubic": feature_distance(self.tower, bicubic, pixels).item(),
        }

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Originals, the reduced pictures, and what one step makes of them."""
        pixels = batch.pixels(device_of(network))
        low_res = reduced(pixels)
        shown = F.interpolate(low_res, pixels.shape[-2:], mode="nearest")
        return [pixels, shown, self._one_step(network, low_res, sheet_noise(pixels)).clamp(-1, 1)]

    def _one_step(self, network: nn.Module, low_res: Tensor, noise: Tensor) -> Tensor:
        process = self.crops.process
        last = torch.full((len(noise),), len(process.schedule.betas) - 1, device=noise.device)
        return process.predict(network(noise, last, low_res=low_res).float(), noise, last).x0


def feature_distance(
    tower: ImageTower, x: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, ""]:
    """Return the mean squared distance of two pictures' patch states in a frozen image tower, without unit.

    No gradient goes into `y`.
    """
    with torch.no_grad():
        wanted = tower.patch_states(tiles(y, tower.image_size))
    return F.mse_loss(tower.patch_states(tiles(x, tower.image_size)), wanted)


def tiles(x: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "tiles 3 {size} {size}"]:
    """Cut square pictures into tiles, resized to the nearest multiple of their side.

    So that an eye of `size` pixels sees every pixel of a larger picture.
    """
    count = max(1, round(x.shape[-1] / size))
    if x.shape[-1] != count * size:
        x = F.interpolate(x, (count * size, count * size), mode="bicubic", antialias=True)
    return rearrange(x, "b c (i h) (j w) -> (b i j) c h w", i=count, j=count)
