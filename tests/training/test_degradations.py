"""The faults of small pictures: of each alone, and of all together."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unclip.images import to_tensor
from unclip.training import degradations
from unclip.training.degradations import degraded, gaussian_kernel


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, height: int = 64, width: int = 64) -> Tensor:
    """Smooth pictures with an edge, from -0.9 to 0.9."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    shades = torch.stack([x, y, (x - y).abs()]) * 1.4 - 0.9
    disc = ((x - 0.5).square() + (y - 0.4).square() < 0.06).float() * 0.4
    return torch.stack([(shades + disc).roll(k, dims=0) for k in range(count)])


def psnr(x: Tensor, y: Tensor) -> Tensor:
    return 10 * torch.log10(4 / (x - y).square().flatten(1).mean(dim=1))


@pytest.mark.parametrize("size", [(16, 16), (32, 64), (64, 64), (30, 50)])
def test_pictures_come_out_at_a_quarter_within_the_range(size: tuple[int, int]) -> None:
    white = torch.ones(2, 3, *size)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, *size, 3), np.uint8))
    for pixels in (pictures(20, *size), to_tensor(noise), white, -white):
        low_res = degraded(pixels, seeded())
        assert low_res.shape == (len(pixels), 3, size[0] // 4, size[1] // 4)
        assert low_res.dtype == pixels.dtype
        assert low_res.abs().max() <= 1


def test_faults_are_a_function_of_the_generator() -> None:
    pixels = pictures(4)
    first, again, other = (degraded(pixels, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first != other).flatten(1).any(dim=1).all()
    generator = seeded(0)
    assert torch.equal(degraded(pixels, generator), first)
    assert not torch.equal(degraded(pixels, generator), first)


def test_a_row_does_not_depend_on_the_others() -> None:
    pixels = pictures(5)
    expected = degraded(pixels, seeded())
    assert torch.equal(degraded(torch.cat([pixels[:2], -pixels[2:]]), seeded())[:2], expected[:2])
    assert torch.equal(degraded(pixels[:2], seeded()), expected[:2])
    same = pixels[:1].expand(5, -1, -1, -1)
    assert len(set(degraded(same, seeded()).flatten(1).unbind())) == 5


def test_pictures_remain_recognisable() -> None:
    pixels = pictures(100)
    low_res = degraded(pixels, seeded())
    clean = F.avg_pool2d(pixels, 4)
    found = psnr(low_res, clean)
    assert found.min() > 16
    assert 22 < found.median() < 40  # faults, if light ones
    assert torch.equal(torch.cdist(low_res[:3].flatten(1), clean[:3].flatten(1)).argmin(1), torch.arange(3))


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (0.7, -0.5, 0.2), (-0.8, 0.1, 0.6)])
def test_colours_stay_in_the_mean(colour: tuple[float, float, float]) -> None:
    pixels = torch.tensor(colour).view(1, 3, 1, 1).expand(100, 3, 32, 32)
    means = degraded(pixels, seeded()).mean(dim=(2, 3))
    assert means.mean(dim=0).tolist() == pytest.approx(colour, abs=0.01)
    assert (means - torch.tensor(colour)).abs().max() < 0.05


def test_the_picture_does_not_move() -> None:
    """A bright half stays on its side, its edge where it was, on average."""
    pixels = torch.full((150, 3, 32, 32), -0.5)
    pixels[..., 16:] = 0.5
    share = ((degraded(pixels, seeded()).mean(dim=0) + 0.5).mean(dim=(0, 1))).tolist()
    assert share == pytest.approx([1 - column for column in reversed(share)], abs=0.03)


# Faults


def test_every_order_has_the_last_resizing_after_that_on_the_way() -> None:
    draw = seeded()
    orders = [degradations._order(4, draw) for _ in range(600)]
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2, 3)}
    assert all(order.index(0) < order.index(1) for order in orders)
    counts = [orders.count(order) for order in orders]
    assert len({tuple(order) for order in orders}) == 12
    assert 30 < min(counts) < max(counts) < 75  # 50, give or take 3.6 deviations


@pytest.mark.parametrize(("width", "across", "angle"), [(0.7, 0.7, 0.3), (1.2, 0.6, 0.0), (1.2, 0.6, 0.5)])
def test_a_kernel_has_its_widths_along_its_angle(width: float, across: float, angle: float) -> None:
    kernel = gaussian_kernel(width, across, angle)
    assert kernel.sum().item() == pytest.approx(1)
    radius = len(kernel) // 2
    y, x = torch.meshgrid(*[torch.arange(-radius, radius + 1.0)] * 2, indexing="ij")
    found = [(kernel * product).sum().item() for product in (x * x, x * y, y * y)]
    c, s = math.cos(angle), math.sin(angle)
    u, v = width**2, across**2
    assert found == pytest.approx([c * c * u + s * s * v, c * s * (u - v), s * s * u + c * c * v], abs=0.02)


def test_blur_keeps_constants_and_takes_away_variance() -> None:
    draw = seeded()
    for _ in range(20):
        flat = degradations._blurred(torch.full((1, 3, 8, 8), 0.3), draw)
        torch.testing.assert_close(flat, torch.full((1, 3, 8, 8), 0.3))
        noise = torch.randn(1, 3, 32, 32)
        assert degradations._blurred(noise, draw).var() < noise.var() + 1e-5  # the least width is none


def test_noise_is_grey_or_coloured_and_light() -> None:
    draw, grey = seeded(), list[bool]()
    for _ in range(100):
        noise = degradations._noisy(torch.zeros(1, 3, 40, 40), draw)
        assert 0.9 * 2 / 255 < noise.std() < 1.1 * 4 / 255
        grey.append(torch.equal(noise[:, 0], noise[:, 1]))
    assert 30 < sum(grey) < 70


def test_a_sensors_noise_grows_with_the_root_of_the_light() -> None:
    for seed in range(5):
        dark, bright = (
            degradations._sensed(torch.full((1, 3, 60, 60), value), seeded(seed)) for value in (-0.8, 0.6)
        )
        assert (bright.var() / dark.var()).item() == pytest.approx(0.8 / 0.1, rel=0.1)
        assert bright.var().item() == pytest.approx(0.8 * 4 / 10**3.5, rel=2.4)
        means = [dark.mean().item(), bright.mean().item()]
        assert means == pytest.approx([-0.8, 0.6], abs=2e-3)


def test_jpeg_leaves_a_smooth_picture_nearly_as_it_was() -> None:
    pixels = pictures(1)
    for seed in range(5):
        again = degradations._compressed(pixels, seeded(seed))
        assert not torch.equal(again, pixels)
        assert psnr(again, pixels).item() > 28
    beyond = degradations._compressed(pixels * 3, seeded())
    assert beyond.abs().max() <= 1
