from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from unclip.diffusion.driver import drive, finish
from unclip.errors import RequestError
from unclip.pipelines.text_to_image import LARGEST_SEED, TextToImage, checked, resolved, text_to_image
from unclip.system import System

REQUEST = TextToImage("a red cube on a table", n=2, seed=5, size=64)


def draw(system: System, request: TextToImage = REQUEST, **changes: Any) -> Tensor:
    return finish(drive(text_to_image(system, replace(request, **changes))))


def differ(left: Tensor, right: Tensor) -> bool:
    """Beyond what the order of sums can do."""
    return (left - right).abs().max().item() > 1e-4


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_pictures_have_the_size_asked_for(system: System, size: int) -> None:
    images = draw(system, n=1, size=size)
    assert images.shape == (1, 3, size, size)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.abs().max() <= 1


def test_stages_follow_each_other_up_to_the_size(system: System) -> None:
    steps = [step.stage for step in drive(text_to_image(system, replace(REQUEST, size=256, steps=3)))]
    assert steps == ["prior"] * 2 + ["decoder"] * 3 + ["upsampler256"] * 2


def test_the_same_request_gives_the_same_pixels(system: System) -> None:
    assert torch.equal(draw(system, size=256), draw(system, size=256))


@pytest.mark.parametrize(("sampler", "size"), [("ddpm", 64), ("ddim", 64), ("dpm++", 256)])
def test_a_picture_does_not_depend_on_its_company(system: System, sampler: str, size: int) -> None:
    together = draw(system, n=4, size=size, sampler=sampler)
    for k in range(4):
        alone = draw(system, n=1, seed=REQUEST.seed + k, size=size, sampler=sampler)
        assert not differ(together[k], alone[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a blue apple"},
        {"seed": 50},
        {"steps": 5},
        {"guidance_scale": 1.0},
        {"guidance_scale": 9.0},
        {"sampler": "ddpm"},
        {"prior_guidance_scale": 30.0},
        {"candidates": 1},
    ],
)
def test_every_setting_changes_the_picture(system: System, changes: dict[str, Any]) -> None:
    assert differ(draw(system, **changes), draw(system))


@pytest.mark.parametrize(
    "changes", [{"prompt": "  A  RED cube on a Table\n"}, {"guidance_scale": 2.0}, {"steps": 4}]
)
def test_what_says_the_same_gives_the_same_picture(system: System, changes: dict[str, Any]) -> None:
    assert torch.equal(draw(system, **changes), draw(system))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": "a red cube " * 30}, "the model reads 32: shorten it"),
        ({"prompt": "\ud800"}, "surrogate"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"candidates": -1}, "candidates must be at least 1, not -1"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"seed": LARGEST_SEED}, "seed must be between"),
        ({"size": 512}, "size 512 is not one of 64, 256, 1024"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"steps": 1001}, "steps must be between 1 and 1000, not 1001"),
        ({"guidance_scale": -0.1}, "guidance_scale must be between 0 and 100, not -0.1"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be between 0 and 100, not nan"),
        ({"prior_guidance_scale": 101.0}, "prior_guidance_scale must be between 0 and 100, not 101"),
        ({"sampler": "euler"}, "sampler 'euler' is not one of ddpm, ddim, dpm\\+\\+"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    system: System, changes: dict[str, Any], message: str
) -> None:
    request = replace(REQUEST, **changes)
    with pytest.raises(RequestError, match=message):
        checked(system, request)
    with pytest.raises(RequestError, match=message):
        next(drive(text_to_image(system, request)))


@pytest.mark.parametrize("stage", ["prior", "decoder"])
def test_a_system_without_prior_or_decoder_is_refused(system: System, stage: str) -> None:
    with pytest.raises(RequestError, match="load the model with both"):
        checked(replace(system, **{stage: None}), REQUEST)


def test_the_largest_seed_can_be_drawn(system: System) -> None:
    assert draw(system, n=1, seed=LARGEST_SEED - 1).shape == (1, 3, 64, 64)


def test_a_checked_request_is_the_one_that_is_run(system: System) -> None:
    assert checked(system, replace(REQUEST, prompt="  a cube ")) == replace(REQUEST, prompt="a cube")


def test_a_resolved_request_has_no_open_setting(system: System) -> None:
    found = resolved(system, REQUEST)
    assert found.keys() == asdict(REQUEST).keys()
    assert (found["steps"], found["guidance_scale"], found["sampler"]) == (4, 2.0, "dpm++")
    again = TextToImage(**found)  # pyright: ignore[reportArgumentType]
    assert torch.equal(draw(system, again), draw(system))
    assert resolved(system, replace(REQUEST, steps=9))["steps"] == 9
