from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import drive, finish, run
from unclip.errors import RequestError
from unclip.pipelines.given import embed, squares
from unclip.pipelines.interpolation import (
    Interpolation,
    Mix,
    check_interpolation,
    check_mix,
    embedded,
    interpolation,
    mix,
)
from unclip.pipelines.inversion import decode, noise_latent
from unclip.pipelines.spherical import slerp
from unclip.pipelines.variations import Variations, variations
from unclip.system import System

Draw = Callable[..., Image.Image]
STEPS = 2  # of the decoder


def draw(system: System, a: Any, b: Any, **changes: Any) -> Tensor:
    request = replace(Interpolation(a, b, steps=3, seed=5, size=64, decoder_steps=STEPS), **changes)
    return finish(drive(interpolation(system, request)))


def back(system: System, image: Image.Image, **changes: Any) -> Tensor:
    """The picture, inverted and decoded without new noise."""
    request = replace(Variations(image, seed=5, size=64, eta=0.0, steps=STEPS), **changes)
    return finish(drive(variations(system, request)))[0]


def near(left: Tensor, right: Tensor) -> bool:
    """But for the order of sums."""
    return (left - right).abs().max().item() < 1e-3


def of_noise(system: System, image_embed: Tensor, seed: int = 5, scale: float = 2.0) -> Tensor:
    """What an embedding looks like, drawn from noise of a seed."""
    return finish(run(decode(system, noise_latent(system, image_embed, [seed]), [seed], 0.0, STEPS, scale)))[
        0
    ].clamp(-1, 1)


@pytest.mark.parametrize(("size", "scale"), [(64, None), (256, 3.0)])
def test_the_ends_are_the_pictures_as_they_come_back(
    system: System, picture: Draw, size: int, scale: float | None
) -> None:
    images = draw(system, picture(0), picture(1), size=size, guidance_scale=scale)
    assert images.shape == (3, 3, size, size)
    for k, end in ((0, picture(0)), (-1, picture(1))):
        assert near(images[k], back(system, end, size=size, guidance_scale=scale))


@pytest.mark.parametrize("steps", [2, 5])
def test_there_are_as_many_pictures_as_asked_for_ends_included(
    system: System, picture: Draw, steps: int
) -> None:
    images = draw(system, picture(0), picture(1), steps=steps)
    assert len(images) == steps
    assert near(images[0], back(system, picture(0)))
    assert near(images[-1], back(system, picture(1)))
    for left, right in pairwise(images):
        assert not near(left, right)


def test_the_way_back_shows_the_same_pictures(system: System, picture: Draw) -> None:
    there, again = draw(system, picture(0), picture(1)), draw(system, picture(1), picture(0))
    assert near(there, again.flip(0))


def test_with_fixed_noise_all_are_drawn_from_one_noise(system: System, picture: Draw) -> None:
    images = draw(system, picture(0), picture(1), noise="fixed")
    a, b = embed(system, squares([picture(0), picture(1)], 64)).split(1)
    for k, theta in enumerate((0.0, 0.5, 1.0)):
        assert near(images[k], of_noise(system, slerp(a, b, theta)))
    assert not near(images[0], back(system, picture(0)))
    assert not near(images, draw(system, picture(0), picture(1), noise="fixed", seed=6))


def test_with_fixed_noise_nothing_is_inverted(system: System, picture: Draw) -> None:
    plan = interpolation(
        system, Interpolation(picture(0), picture(1), noise="fixed", size=64, decoder_steps=2)
    )
    assert [step.stage for step in drive(plan)] == ["decoder"] * 2


def test_between_sentences_embeddings_of_the_prior_are_drawn_from_one_noise(system: System) -> None:
    images = draw(system, "a red cube", "a blue apple")
    ends = [finish(drive(embedded(system, part, 5))) for part in ("a red cube", "a blue apple")]
    for k, theta in enumerate((0.0, 0.5, 1.0)):
        assert near(images[k], of_noise(system, slerp(*ends, theta)))


def test_from_a_picture_to_a_sentence(system: System, picture: Draw) -> None:
    images = draw(system, picture(), "a blue apple")
    assert near(images[0], back(system, picture()))
    end = finish(drive(embedded(system, "a blue apple", 5)))
    assert near(images[-1], of_noise(system, end, scale=1.0))


def test_embeddings_of_parts_are_clips_or_the_priors(system: System, picture: Draw) -> None:
    with pytest.raises(StopIteration) as done:  # there is nothing to run
        next(embedded(system, picture(), 5))
    image = done.value.value
    torch.testing.assert_close(image, embed(system, squares([picture()], 64)))
    sentence, other = (finish(drive(embedded(system, " a red cube ", seed))) for seed in (5, 6))
    assert sentence.shape == image.shape
    assert not torch.allclose(sentence, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 1}, "steps must be at least 2, the two ends, not 1"),
        ({"noise": "new"}, "noise 'new' is not one of inverted, fixed"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"size": 65}, "size 65 is not one of 64, 256, 1024"),
        ({"guidance_scale": -1.0}, "guidance_scale must be between 0 and 100, not -1"),
        ({"decoder_steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"a": " "}, "the prompt is empty"),
        ({"b": "cube " * 50}, "the model reads 32: shorten it"),
    ],
)
def test_a_way_that_cannot_be_drawn_is_refused(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    request = replace(Interpolation(picture(), "a red cube", size=64))
    for name, value in changes.items():
        object.__setattr__(request, name, value)  # as a caller without types may
    with pytest.raises(RequestError, match=message):
        check_interpolation(system, request)
    with pytest.raises(RequestError, match=message):
        next(drive(interpolation(system, request)))


def test_a_sentence_needs_a_prior_and_a_picture_does_not(system: System, picture: Draw) -> None:
    without = replace(system, prior=None)
    draw(without, picture(0), picture(1), decoder_steps=2)
    for request in (Interpolation(picture(), "a cube", size=64), Interpolation("a cube", "a cube", size=64)):
        with pytest.raises(RequestError, match="a sentence needs a prior"):
            check_interpolation(without, request)
    with pytest.raises(RequestError, match="a sentence needs a prior"):
        check_mix(without, Mix((picture(), "a cube"), size=64))


# Mixes


def mixed(system: System, *parts: Any, **changes: Any) -> Tensor:
    request = replace(Mix(parts, n=2, seed=5, size=64, steps=2), **changes)
    return finish(drive(mix(system, request)))


def test_a_mix_is_drawn_from_the_mean_of_its_parts(system: System, picture: Draw) -> None:
    """Half and half is the middle of the way; one alone is a fresh variation."""
    alone = finish(
        drive(variations(system, Variations(picture(), n=2, seed=5, size=64, fresh=True, steps=2)))
    )
    assert near(mixed(system, picture()), alone)
    assert near(mixed(system, picture(), picture(1), weights=(1.0, 0.0)), alone)
    assert not near(mixed(system, picture(), picture(1)), alone)


def test_the_order_of_parts_does_not_matter_and_weights_count_in_proportion(
    system: System, picture: Draw
) -> None:
    parts = (picture(0), picture(1), "a red cube")
    expected = mixed(system, *parts, weights=(0.5, 0.25, 0.25))
    assert near(mixed(system, *reversed(parts), weights=(10.0, 10.0, 20.0)), expected)
    assert not near(mixed(system, *parts), expected)
    assert near(mixed(system, *parts, weights=(3.0, 3.0, 3.0)), mixed(system, *parts))


def test_a_mixed_picture_does_not_depend_on_its_company(system: System, picture: Draw) -> None:
    together = mixed(system, picture(0), picture(1), n=3)
    for k in range(3):
        assert near(together[k], mixed(system, picture(0), picture(1), n=1, seed=5 + k)[0])
    assert not near(together[0], together[1])


def test_a_mix_is_of_the_mean_direction(system: System, picture: Draw) -> None:
    a, b = embed(system, squares([picture(0), picture(1)], 64)).split(1)
    plan = mix(system, Mix((picture(0), picture(1)), size=64))
    denoising = next(plan)
    rows = next(denoising.guide(next(denoising.sampling)))
    expected = F.normalize(a + b, dim=-1)  # of two, the middle
    torch.testing.assert_close(rows.conditions["image_embed"][:1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": ()}, "parts must be at least 1, not 0"),
        ({"weights": (1.0,)}, "1 weights for 2 parts: give one for each"),
        ({"weights": (1.0, -1.0)}, r"weights \(1.0, -1.0\) must be 0 or more, and not all 0"),
        ({"weights": (0.0, 0.0)}, "not all 0"),
        ({"weights": (float("nan"), 1.0)}, "must be 0 or more"),
        ({"weights": (float("inf"), 1.0)}, "must be 0 or more"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"size": 65}, "size 65 is not one of"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"guidance_scale": 101.0}, "guidance_scale must be between 0 and 100"),
        ({"parts": ("", "a cube")}, "the prompt is empty"),
    ],
)
def test_a_mix_that_cannot_be_drawn_is_refused(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    request = replace(Mix((picture(), "a red cube"), size=64), **changes)
    with pytest.raises(RequestError, match=message):
        check_mix(system, request)
    with pytest.raises(RequestError, match=message):
        next(drive(mix(system, request)))
