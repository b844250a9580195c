"""What an upsampler learns: to draw what a reduced, corrupted picture has lost."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from unclip.data.example import Example, Pictures
from unclip.diffusion.guides import conditional
from unclip.diffusion.process import Process, SnrRange
from unclip.training.batches import Batch, Steps
from unclip.training.config import Degradation
from unclip.training.degradations import FACTOR, degraded
from unclip.training.redrawing import Redrawing, cropped, redrawn_here, whole_rows
from unclip.training.tasks import chance, device_of, normal_like, random_timesteps, sample


@dataclass(frozen=True)
class UpsamplerTask:
    """The process's loss on crops, beside the crop reduced, at times redrawn by a decoder, and corrupted.

    By "blur", the reduced crop is blurred (kernel 3, sigma 0.4 to 0.8) half of the time and gets noise of up
    to 0.1, so that the network does not trust what a decoder drew to the pixel. By "bsr" it has the faults of
    `degraded` instead, or is blurred if a decoder redrew it. A share of rows starts from pure noise, so that
    few steps suffice. Source: Ramesh et al. 2022, appendix C; Karlo for few steps.
    """

    process: Process
    target_size: int  # pixels a side of the whole pictures the crops come from
    snr_range: SnrRange | None
    pure_noise_share: float = 0.3
    redrawing: Redrawing | None = None
    degradation: Degradation = "blur"

    def draw(self, pictures: Pictures, index: int, size: int) -> Example:
        """Return a crop of `size` pixels of a picture of the target size; captions play no part."""
        if self.redrawing is not None and redrawn_here(index):
            return cropped(pictures, index, self.target_size, size, self.target_size // FACTOR)
        return Example(pictures.crop(index, self.target_size, size), "")

    def prepare(self, network: nn.Module, steps: Steps) -> None:
        """Fit nothing."""

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean loss."""
        pixels = batch.pixels(device_of(network))
        low_res = self.low_res(batch, pixels, generator)
        t, noise = random_timesteps(self.process, len(pixels), generator), normal_like(pixels, generator)
        pure = chance(len(pixels), self.pure_noise_share, generator)
        t = torch.where(pure, len(self.process.schedule.betas) - 1, t)
        x_t = self.process.q_sample(pixels, t, noise)
        output = network(x_t, t, low_res=low_res)
        return self.process.loss(output.float(), pixels, x_t, t, noise, self.snr_range).mean()

    def low_res(
        self, batch: Batch, pixels: Float[Tensor, "b 3 h w"], generator: Generator
    ) -> Float[Tensor, "b 3 h_low w_low"]:
        """Return what the network is shown of a batch."""
        blur = self.degradation == "blur"
        low_res = reduced(pixels) if blur else degraded(pixels, generator)
        if self.redrawing is not None:
            low_res = self.redrawing.put_into(low_res, batch.truths, generator)
        if blur:
            return self.corrupted(low_res, generator)
        if self.redrawing is not None and (rows := whole_rows(batch.truths)):
            low_res[rows] = self.corrupted(low_res[rows], generator)
        return low_res

    def corrupted(self, low_res: Float[Tensor, "b 3 h w"], generator: Generator) -> Float[Tensor, "b 3 h w"]:
        """Blur half of the pictures and add noise to all."""
        count = len(low_res)
        sigma = 0.4 + 0.4 * torch.rand(count, 1, 1, 1, generator=generator, device=low_res.device)
        blur = chance(count, 0.5, generator).view(-1, 1, 1, 1)
        low_res = torch.where(blur, blurred(low_res, sigma), low_res)
        level = 0.1 * torch.rand(count, 1, 1, 1, generator=generator, device=low_res.device)
        return low_res + level * normal_like(low_res, generator)

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """PSNR in dB of the one-step result, and of bicubic resizing, against the original."""
        pixels = batch.pixels(device_of(network))
        low_res = reduced(pixels)
        last = torch.full((len(pixels),), len(self.process.schedule.betas) - 1, device=pixels.device)
        x_t = normal_like(pixels, generator)
        guess = self.process.predict(network(x_t, last, low_res=low_res).float(), x_t, last).x0
        bicubic = F.interpolate(low_res, pixels.shape[-2:], mode="bicubic", antialias=True)
        return {"psnr": psnr(guess, pixels), "psnr_bicubic": psnr(bicubic, pixels)}

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Originals, the reduced pictures, and what becomes of them."""
        pixels = batch.pixels(device_of(network))
        low_res = reduced(pixels)
        guide = conditional(self.process, {"low_res": low_res})
        shown = F.interpolate(low_res, pixels.shape[-2:], mode="nearest")
        return [pixels, shown, sample(network, self.process, guide, pixels.shape, num_steps=2)]


def reduced(pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h_low w_low"]:
    """Return pictures at a quarter of their side, by area."""
    return F.avg_pool2d(pixels, FACTOR)


def blurred(x: Float[Tensor, "b 3 h w"], sigma: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 3 h w"]:
    """Gaussian blur with a kernel of 3 by 3, its width (in pixels) given per row."""
    side = torch.exp(-0.5 / sigma.square())
    centre, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    padded = F.pad(x, (1, 1, 0, 0), mode="replicate")
    x = centre * x + side * (padded[..., :-2] + padded[..., 2:])
    padded = F.pad(x, (0, 0, 1, 1), mode="replicate")
    return centre * x + side * (padded[..., :-2, :] + padded[..., 2:, :])


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]."""
    return (10 * torch.log10(4 / (x - y).square().mean())).item()
