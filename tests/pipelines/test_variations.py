from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import drive, finish
from unclip.errors import RequestError
from unclip.images import from_pil
from unclip.pipelines.variations import Variations, check_variations, variations
from unclip.system import System

Draw = Callable[..., Image.Image]


def draw(system: System, image: Image.Image, **changes: Any) -> Tensor:
    request = replace(Variations(image, n=2, seed=5, size=64, steps=2), **changes)
    return finish(drive(variations(system, request)))


def differ(left: Tensor, right: Tensor) -> bool:
    """Beyond what the order of sums can do."""
    return (left - right).abs().max().item() > 1e-3


def psnr(found: Tensor, expected: Tensor) -> float:
    return (10 * (4 / (found - expected).square().mean()).log10()).item()


@pytest.fixture(scope="module")
def plain(system: System, picture: Draw) -> Tensor:
    return draw(system, picture())


@pytest.mark.parametrize("size", [64, 256])
def test_pictures_have_the_size_asked_for(system: System, picture: Draw, size: int) -> None:
    images = draw(system, picture(), size=size, steps=2)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1


def test_without_new_noise_the_picture_comes_back(system: System, picture: Draw) -> None:
    first, second = draw(system, picture(), eta=0.0, steps=9)
    (expected,) = from_pil([picture()])
    assert psnr(first, expected) > 30
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


@pytest.mark.parametrize("changes", [{"eta": 0.1}, {"eta": 1.0}, {"fresh": True}])
def test_variations_differ_from_the_picture_and_from_each_other(
    system: System, picture: Draw, changes: dict[str, Any]
) -> None:
    first, second = draw(system, picture(), **changes)
    (expected,) = from_pil([picture()])
    assert differ(first, second)
    assert differ(first, expected)
    assert differ(second, expected)


@pytest.mark.parametrize(("fresh", "size"), [(False, 64), (False, 256), (True, 64)])
def test_a_picture_does_not_depend_on_its_company(
    system: System, picture: Draw, fresh: bool, size: int
) -> None:
    together = draw(system, picture(), n=2, fresh=fresh, size=size)
    for k in range(2):
        alone = draw(system, picture(), n=1, seed=5 + k, fresh=fresh, size=size)
        assert (together[k] - alone[0]).abs().max() < 2 / 127.5  # 2 of 255


def test_the_same_request_gives_the_same_pixels(system: System, picture: Draw, plain: Tensor) -> None:
    assert torch.equal(draw(system, picture()), plain)


@pytest.mark.parametrize(
    "changes", [{"seed": 50}, {"eta": 0.9}, {"fresh": True}, {"steps": 3}, {"guidance_scale": 3.0}]
)
def test_every_setting_changes_the_pictures(
    system: System, picture: Draw, plain: Tensor, changes: dict[str, Any]
) -> None:
    assert differ(draw(system, picture(), **changes), plain)


def test_another_picture_gives_other_variations(system: System, picture: Draw) -> None:
    for fresh in (False, True):
        assert differ(draw(system, picture(0), fresh=fresh, n=1), draw(system, picture(1), fresh=fresh, n=1))


def test_the_picture_is_cut_to_its_middle_square(system: System, picture: Draw, plain: Tensor) -> None:
    wide = Image.new("RGB", (100, 64), "red")
    wide.paste(picture(), (18, 0))
    assert torch.equal(draw(system, wide), plain)


def test_fresh_ones_are_drawn_as_the_model_draws(system: System, picture: Draw) -> None:
    """Alike in what CLIP sees, from noise of their seeds, in the model's steps at the model's scale."""
    plan = variations(system, Variations(picture(), n=2, seed=5, size=64, fresh=True))
    steps = [(step.stage, step.num_steps) for step in drive(plan)]
    assert steps == [("decoder", 4)] * 4
    as_asked = draw(system, picture(), fresh=True, steps=4, guidance_scale=2.0)
    assert torch.equal(draw(system, picture(), fresh=True, steps=None), as_asked)


def test_others_take_the_steps_of_the_inversion(system: System, picture: Draw) -> None:
    plan = variations(system, Variations(picture(), size=64, steps=3))
    stages = [step.stage for step in drive(plan)]
    assert stages == ["glance"] + ["inversion"] * 6 + ["decoder"] * 3
    assert check_variations(system, Variations(picture())).steps == 50
    assert check_variations(system, Variations(picture(), steps=3)).steps == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"size": 512}, "size 512 is not one of 64, 256, 1024"),
        ({"eta": 1.5}, "eta must be between 0 and 1, not 1.5"),
        ({"eta": -0.1}, "eta must be between 0 and 1, not -0.1"),
        ({"guidance_scale": 101.0}, "guidance_scale must be between 0 and 100, not 101"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"steps": 1001, "fresh": True}, "steps must be between 1 and 1000, not 1001"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_variations(system, replace(Variations(picture(), size=64), **changes))
    with pytest.raises(RequestError, match=message):
        draw(system, picture(), **changes)


def test_a_model_of_the_distilled_decoder_alone_is_refused(distilled_system: System, picture: Draw) -> None:
    with pytest.raises(RequestError, match="need the undistilled decoder"):
        draw(replace(distilled_system, decoder=None), picture())
