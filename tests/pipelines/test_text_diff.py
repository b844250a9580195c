from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import drive, finish, run
from unclip.errors import RequestError
from unclip.pipelines import stages
from unclip.pipelines.given import embed, squares
from unclip.pipelines.spherical import slerp
from unclip.pipelines.text_diff import TextDiff, check_text_diff, text_diff, text_direction, thetas_of
from unclip.pipelines.variations import Variations, variations
from unclip.system import System

Draw = Callable[..., Image.Image]


def draw(system: System, image: Image.Image, **changes: Any) -> Tensor:
    request = replace(
        TextDiff(image, "a red cube", "a blue cube", steps=3, size=64, decoder_steps=2), **changes
    )
    return finish(drive(text_diff(system, request)))


def differ(left: Tensor, right: Tensor) -> bool:
    return (left - right).abs().max().item() > 1e-3


@pytest.fixture(scope="module")
def plain(system: System, picture: Draw) -> Tensor:
    return draw(system, picture())


@pytest.mark.parametrize("size", [64, 256])
def test_no_way_towards_the_sentence_gives_the_picture_back(system: System, picture: Draw, size: int) -> None:
    images = draw(system, picture(), size=size)
    assert images.shape == (3, 3, size, size)
    same = Variations(picture(), size=size, eta=0.0, steps=2)
    assert not differ(images[0], finish(drive(variations(system, same)))[0])
    assert differ(images[0], images[1])
    assert differ(images[1], images[2])


def test_each_picture_is_of_its_place_on_the_way(system: System, picture: Draw) -> None:
    """And of the noise of the picture itself."""
    plan = text_diff(
        system, TextDiff(picture(), "a red cube", "a blue cube", size=64, steps=3, decoder_steps=2)
    )
    denoising = next(plan)
    while denoising.stage != "decoder":
        denoising = plan.send(finish(run(denoising)))
    query = next(denoising.sampling)
    rows = next(denoising.guide(query))
    here = embed(system, squares([picture()], 64))
    there = text_direction(system, "a red cube", "a blue cube")
    for k, theta in enumerate((0.0, 0.25, 0.5)):
        torch.testing.assert_close(rows.conditions["image_embed"][k : k + 1], slerp(here, there, theta))
    assert torch.equal(query.x_t[0], query.x_t[2])


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "a blue apple"},
        {"source": ""},
        {"theta": (0.0, 0.9)},
        {"decoder_steps": 3},
        {"guidance_scale": 3.0},
    ],
)
def test_every_setting_changes_the_pictures(
    system: System, picture: Draw, plain: Tensor, changes: dict[str, Any]
) -> None:
    assert differ(draw(system, picture(), **changes)[-1], plain[-1])


def test_the_seed_is_of_the_upsamplers_alone(system: System, picture: Draw, plain: Tensor) -> None:
    assert not differ(draw(system, picture(), seed=9), plain)


@pytest.mark.parametrize(
    ("theta", "steps", "expected"),
    [
        ((0.0, 0.5), 5, [0.0, 0.125, 0.25, 0.375, 0.5]),
        ((0.25, 0.5), 2, [0.25, 0.5]),
        ((0.5, 0.0), 3, [0.5, 0.25, 0.0]),
        ((0.0, 0.4), 1, [0.4]),
    ],
)
def test_pictures_lie_evenly_on_the_way_and_a_single_one_at_its_end(
    picture: Draw, theta: tuple[float, float], steps: int, expected: list[float]
) -> None:
    found = thetas_of(TextDiff(picture(), "a red cube", theta=theta, steps=steps))
    assert found == pytest.approx(expected)


def test_the_direction_is_the_difference_of_the_sentences(system: System) -> None:
    embeds = stages.encode_text(system.clip, system.tokenizer, ["a red cube", "a blue cube"])["text_embed"]
    found = text_direction(system, " a red cube ", "a blue cube")
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    torch.testing.assert_close(found * (embeds[0] - embeds[1]).norm(), embeds[:1] - embeds[1:])
    torch.testing.assert_close(text_direction(system, "a blue cube", "a red cube"), -found)


def test_without_a_source_the_direction_is_the_sentences_own(system: System) -> None:
    embeds = stages.encode_text(system.clip, system.tokenizer, ["a red cube"])["text_embed"]
    torch.testing.assert_close(text_direction(system, "a red cube", ""), embeds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"theta": (0.0, 1.1)}, "theta must be between 0 and 1, not 1.1"),
        ({"theta": (-0.5, 0.5)}, "theta must be between 0 and 1, not -0.5"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"size": 65}, "size 65 is not one of 64, 256, 1024"),
        ({"guidance_scale": -1.0}, "guidance_scale must be between 0 and 100, not -1"),
        ({"decoder_steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"target": " "}, "the sentence to go to is empty"),
        ({"source": " "}, "the sentence to come from is empty"),
        ({"source": "cube " * 50}, "the sentence to come from has .* the model reads 32: shorten it"),
    ],
)
def test_a_change_that_cannot_be_drawn_is_refused(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_text_diff(system, replace(TextDiff(picture(), "a cube", size=64), **changes))
    with pytest.raises(RequestError, match=message):
        draw(system, picture(), **changes)


@pytest.mark.parametrize("source", ["a red cube", " A  RED cube"])
def test_from_a_sentence_to_itself_there_is_no_way(system: System, picture: Draw, source: str) -> None:
    with pytest.raises(RequestError, match="'a red cube' are the same to the model: give another sentence"):
        draw(system, picture(), source=source)
