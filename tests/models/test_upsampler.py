from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unclip.models.upsampler import Upsampler
from unclip.system import System

T = torch.tensor([500])


@pytest.fixture
def upsampler(system: System) -> Upsampler:
    return system.upsamplers[0].network


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 64), (32, 96)])
def test_crops_and_whole_pictures_alike_are_enlarged(upsampler: Upsampler, height: int, width: int) -> None:
    x_t, low_res = torch.randn(1, 3, height, width), torch.randn(1, 3, height // 4, width // 4)
    assert upsampler(x_t, T, low_res=low_res).shape == x_t.shape


def test_the_small_picture_matters(upsampler: Upsampler) -> None:
    x_t, low_res = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 16, 16)
    assert not torch.allclose(upsampler(x_t, T, low_res), upsampler(x_t, T, -low_res), atol=1e-4)


def test_the_small_picture_is_resized_beside_the_noised_one(upsampler: Upsampler) -> None:
    x_t, low_res = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 16, 16)
    resized = F.interpolate(low_res, (64, 64), mode="bicubic", antialias=True)
    torch.testing.assert_close(upsampler(x_t, T, resized), upsampler(x_t, T, low_res))
    plain = Upsampler(replace(upsampler.config, residual=False))
    plain.load_state_dict(upsampler.state_dict())
    seen = upsampler.unet(torch.cat([x_t, resized], dim=1), T)
    torch.testing.assert_close(plain(x_t, T, low_res), seen)
    torch.testing.assert_close(upsampler(x_t, T, low_res), seen + resized)


def test_a_residual_upsampler_begins_as_a_resize(upsampler: Upsampler) -> None:
    x_t, low_res = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 16, 16)
    fresh = Upsampler(upsampler.config)
    resized = F.interpolate(low_res, (64, 64), mode="bicubic", antialias=True)
    torch.testing.assert_close(fresh(x_t, T, low_res), resized)


def test_no_pixel_attends_to_another(upsampler: Upsampler) -> None:
    assert not any("attention" in name for name in upsampler.state_dict())


def test_the_last_step_has_a_network_of_its_own(upsampler: Upsampler) -> None:
    both = Upsampler(replace(upsampler.config, last_step=True, residual=False)).eval()
    x, low_res = torch.randn(3, 3, 64, 64), torch.randn(3, 3, 16, 16)
    t = torch.tensor([0, 7, 999])
    resized = F.interpolate(low_res, (64, 64), mode="bicubic", antialias=True)
    given = torch.cat([x, resized], dim=1)
    assert both.last_unet is not None
    with torch.no_grad():
        expected = torch.cat([both.last_unet(given[:1], t[:1]), both.unet(given[1:], t[1:])])
        torch.testing.assert_close(both(x, t, low_res), expected)
        torch.testing.assert_close(both(x[:1], t[:1], low_res[:1]), expected[:1])
        torch.testing.assert_close(both(x[1:], t[1:], low_res[1:]), expected[1:])
