"""The faults that small pictures have in the wild: blur, aliasing, noise of sensors, and JPEG's blocks.

An upsampler that learned to enlarge such pictures does not repeat their faults. Every number here is that of
latent diffusion's light setting, but the sensor's, which it leaves out. Source: Ramesh et al. 2022, appendix
C, as in Rombach et al. 2022 (CompVis/latent-diffusion, bsrgan_light.py), after Zhang et al. 2021 (BSRGAN).
"""

import math
from collections.abc import Callable
from io import BytesIO

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Generator, Tensor

from unclip.images import from_pil, to_pil

FACTOR = 4  # between the sides of what goes in and what comes out
HALVED = 0.25  # share of pictures that are first reduced to a half
RESIZED = 0.8  # share that is resized on the way, to some side from the whole to half of the last
ROUND, OVAL = 0.7, 1.4  # greatest width of a blur, in pixels
RADIUS = 4  # of its kernel
NOISE = (1 / 255, 2 / 255)  # deviation of the Gaussian noise, of pictures in [0, 1]
SENSED = 0.25  # share that a sensor has seen
PHOTONS = (3.0, 4.0)  # powers of ten: how many a white pixel counts
COMPRESSED = 0.9  # share that is compressed on the way; all are in the end
QUALITY = (80, 95)  # of JPEG


def degraded(pixels: Float[Tensor, "b 3 h w"], generator: Generator) -> Float[Tensor, "b 3 h_low w_low"]:
    """Return pictures in [-1, 1] at a quarter of their side, each with faults of its own, in [-1, 1].

    Row k depends on picture k and on one number that is drawn for it.
    """
    seeds = torch.randint(2**62, (len(pixels),), generator=generator, device=generator.device).tolist()
    rows = [
        _degraded(row, Generator().manual_seed(seed))
        for row, seed in zip(pixels.float().cpu().split(1), seeds, strict=True)
    ]
    return torch.cat(rows).to(pixels)


def _degraded(x: Float[Tensor, "1 3 h w"], draw: Generator) -> Float[Tensor, "1 3 h_low w_low"]:
    size = (x.shape[2] // FACTOR, x.shape[3] // FACTOR)

    def between(x: Tensor) -> Tensor:
        """Resize on the way; may go beyond the last size, so that the last resizing enlarges."""
        shrink = _uniform(1.0, 2 * x.shape[2] / size[0], draw)
        return _resized(x, tuple(max(1, round(side / shrink)) for side in x.shape[2:]), draw)

    def last(x: Tensor) -> Tensor:
        return _resized(x, size, draw)

    if _happens(HALVED, draw):
        x = _resized(x, tuple(side // 2 for side in x.shape[2:]), draw)
    faults: list[tuple[float, Callable[[Tensor], Tensor]]] = [
        (RESIZED, between),
        (1.0, last),
        (1.0, lambda x: _blurred(x, draw)),
        (1.0, lambda x: _noisy(x, draw)),
        (SENSED, lambda x: _sensed(x, draw)),
        (COMPRESSED, lambda x: _compressed(x, draw)),
    ]
    for place in _order(len(faults), draw):
        share, fault = faults[place]
        if _happens(share, draw):
            x = fault(x)
    return _compressed(x, draw)


def _order(count: int, draw: Generator) -> list[int]:
    """Return a random order in which 0 comes before 1."""
    order = torch.randperm(count, generator=draw).tolist()
    first, second = sorted((order.index(0), order.index(1)))
    order[first], order[second] = 0, 1
    return order


def _uniform(low: float, high: float, draw: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=draw).item()


def _integer(low: int, high: int, draw: Generator) -> int:
    """Draw from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=draw).item())


def _happens(share: float, draw: Generator) -> bool:
    return _uniform(0.0, 1.0, draw) < share


def _resized(x: Float[Tensor, "1 3 h w"], size: tuple[int, ...], draw: Generator) -> Float[Tensor, "1 3 _ _"]:
    """Resize by a filter that is not widened when it reduces, so that fine detail aliases, or by area."""
    mode = ("bilinear", "bicubic", "area")[_integer(0, 2, draw)]
    return F.interpolate(x, size, mode=mode).clamp(-1, 1)


def _blurred(x: Float[Tensor, "1 3 h w"], draw: Generator) -> Float[Tensor, "1 3 h w"]:
    """Blur by a Gaussian that is round, or longer in some direction than across."""
    if _happens(0.5, draw):
        kernel = gaussian_kernel(*[_uniform(0.1, ROUND, draw)] * 2, angle=0.0)
    else:
        widths = (_uniform(0.1, OVAL, draw) for _ in range(2))
        kernel = gaussian_kernel(*widths, angle=_uniform(0.0, math.pi, draw))
    padded = F.pad(x, (RADIUS,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)


def gaussian_kernel(width: float, across: float, angle: float) -> Float[Tensor, "side side"]:
    """Return a kernel whose sum is 1, of standard deviation `width` along a direction and `across` it.

    Widths are in pixels; the angle, in radians, goes from the right downwards.
    """
    y, x = torch.meshgrid(*[torch.arange(-RADIUS, RADIUS + 1.0)] * 2, indexing="ij")
    along = math.cos(angle) * x + math.sin(angle) * y
    aside = math.cos(angle) * y - math.sin(angle) * x
    kernel = torch.exp(-0.5 * ((along / width).square() + (aside / across).square()))
    return kernel / kernel.sum()


def _noisy(x: Float[Tensor, "1 3 h w"], draw: Generator) -> Float[Tensor, "1 3 h w"]:
    """Add Gaussian noise, in half of the pictures the same to all three colours."""
    channels = 1 if _happens(0.5, draw) else 3
    noise = torch.randn((1, channels, *x.shape[2:]), generator=draw)
    return x + 2 * _uniform(*NOISE, draw) * noise


def _sensed(x: Float[Tensor, "1 3 h w"], draw: Generator) -> Float[Tensor, "1 3 h w"]:
    """Count photons, whose number varies by its square root."""
    white = 10 ** _uniform(*PHOTONS, draw)
    light = (x.clamp(-1, 1) + 1) / 2
    return 2 * torch.poisson(white * light, generator=draw) / white - 1


def _compressed(x: Float[Tensor, "1 3 h w"], draw: Generator) -> Float[Tensor, "1 3 h w"]:
    """Take a picture through JPEG; what lies outside [-1, 1] is clamped."""
    file = BytesIO()
    to_pil(x)[0].save(file, "JPEG", quality=_integer(*QUALITY, draw))
    with Image.open(file) as image:
        return from_pil([image])
