from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unclip.diffusion.driver import drive, finish
from unclip.errors import RequestError
from unclip.images import to_pil
from unclip.pipelines import generation
from unclip.pipelines.edit import Edit
from unclip.pipelines.edit import edit as plan_edit
from unclip.pipelines.generation import decode, generate, invert, result, steps, vary
from unclip.pipelines.interpolation import Interpolation, Mix
from unclip.pipelines.interpolation import interpolation as plan_interpolation
from unclip.pipelines.interpolation import mix as plan_mix
from unclip.pipelines.outpaint import Outpaint
from unclip.pipelines.outpaint import outpaint as plan_outpaint
from unclip.pipelines.probe import Probe
from unclip.pipelines.probe import probe as plan_probe
from unclip.pipelines.text_diff import TextDiff
from unclip.pipelines.text_diff import text_diff as plan_text_diff
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.pipelines.variations import Variations
from unclip.pipelines.variations import variations as plan_variations
from unclip.system import System

PROMPT = "a red cube"
Draw = Callable[..., Image.Image]


def test_images_are_those_of_the_plan(system: System) -> None:
    expected = to_pil(finish(drive(text_to_image(system, TextToImage(PROMPT, n=2, seed=3, size=64)))))
    found = generate(system, PROMPT, n=2, seed=3, size=64)
    assert [image.size for image in found] == [(64, 64)] * 2
    for left, right in zip(found, expected, strict=True):
        assert np.array_equal(left, right)


def test_steps_are_seen_one_at_a_time(system: System) -> None:
    seen = [(step.stage, step.index, step.num_steps) for step in steps(system, PROMPT, size=64, steps=3)]
    assert seen == [("prior", 1, 2), ("prior", 2, 2), ("decoder", 1, 3), ("decoder", 2, 3), ("decoder", 3, 3)]


@pytest.mark.parametrize("watched", [0, 3, 6, 100])
def test_images_run_what_steps_are_left(system: System, watched: int) -> None:
    generation = steps(system, PROMPT, size=64)
    for _ in zip(range(watched), generation, strict=False):
        pass
    (image,) = generation.images
    assert np.array_equal(image, generate(system, PROMPT, size=64)[0])
    assert generation.images[0] is image
    assert list(generation) == []


def test_nothing_runs_that_is_not_asked_for(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops iterating has cancelled."""
    assert system.decoder is not None
    calls = list[object]()
    forward = system.decoder.network.forward
    monkeypatch.setattr(
        system.decoder.network, "forward", lambda *a, **k: (calls.append(a), forward(*a, **k))[1]
    )
    for step in steps(system, PROMPT, size=64):
        if (step.stage, step.index) == ("decoder", 2):
            break
    assert len(calls) == 2


def test_a_bad_request_is_refused_at_the_first_step(system: System) -> None:
    generation = steps(system, "", size=64)
    with pytest.raises(RequestError, match="the prompt is empty"):
        next(generation)
    with pytest.raises(RequestError, match="size 65"):
        generate(system, PROMPT, size=65)
    with pytest.raises(TypeError, match="colour"):
        steps(system, PROMPT, colour="red")


def same(left: list[Image.Image], right: list[Image.Image]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


@pytest.mark.parametrize("task", ["vary", "edit", "outpaint", "interpolate", "mix", "diff", "probe"])
def test_each_task_draws_the_pictures_of_its_plan(
    ar_system: System, picture: Draw, with_hole: Callable[[Image.Image], Image.Image], task: str
) -> None:
    model, a, b, cut = ar_system, picture(0), picture(1), with_hole(picture())
    small: dict[str, Any] = {"seed": 3, "size": 64}
    own: dict[str, Any] = {"seed": 3, "steps": 2, "resamplings": 1}
    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any], Any]] = {
        "vary": ((a,), {**small, "n": 2, "steps": 2}, lambda s: plan_variations(model, Variations(a, **s))),
        "edit": ((cut, PROMPT), own, lambda s: plan_edit(model, Edit(cut, PROMPT, **s))),
        "outpaint": (
            (a, PROMPT),
            {**own, "left": 8},
            lambda s: plan_outpaint(model, Outpaint(a, PROMPT, **s)),
        ),
        "interpolate": (
            (a, PROMPT),
            {**small, "steps": 3, "decoder_steps": 2},
            lambda s: plan_interpolation(model, Interpolation(a, PROMPT, **s)),
        ),
        "mix": (
            (a, b, PROMPT),
            {**small, "weights": (1.0, 2.0, 3.0)},
            lambda s: plan_mix(model, Mix((a, b, PROMPT), **s)),
        ),
        "diff": (
            (a, PROMPT),
            {**small, "steps": 2, "decoder_steps": 2},
            lambda s: plan_text_diff(model, TextDiff(a, PROMPT, **s)),
        ),
        "probe": (
            (a,),
            {**small, "components": (3, 16), "decoder_steps": 2},
            lambda s: plan_probe(model, Probe(a, **s)),
        ),
    }
    given, settings, plan = calls[task]
    found = getattr(generation, task)(model, *given, **settings)
    assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in found)
    assert same(found, to_pil(finish(drive(plan(settings)))))
    with pytest.raises(TypeError, match="colour"):
        getattr(generation, task)(model, *given, colour="red")


def test_the_result_is_that_of_all_stages(system: System) -> None:
    request = TextToImage(PROMPT, n=2, size=64)
    found = result(text_to_image(system, request))
    assert torch.equal(found, finish(drive(text_to_image(system, request))))


def test_a_picture_that_is_inverted_and_decoded_comes_back(system: System, picture: Draw) -> None:
    pictures = [picture(0), picture(1)]
    latent = invert(system, pictures, steps=9)
    assert latent.x_T.isfinite().all()
    for found, expected in zip(decode(system, latent, steps=9), pictures, strict=True):
        error = np.square(np.asarray(found).astype(float) - np.asarray(expected)).mean()
        assert 10 * np.log10(255**2 / error) > 30


def test_decoding_is_what_variations_do(system: System, picture: Draw) -> None:
    latent = invert(system, [picture()], steps=2)
    for eta in (0.0, 0.7):
        found = decode(system, latent, eta, seed=4, steps=2)
        assert same(found, vary(system, picture(), eta=eta, seed=4, steps=2, size=64))


def test_row_k_is_decoded_from_seed_and_k(system: System, picture: Draw) -> None:
    latent = invert(system, [picture()], steps=2)
    first, second = decode(system, latent.expanded(2), 0.7, seed=4, steps=2)
    (alone,) = decode(system, latent, 0.7, seed=5, steps=2)
    assert not np.array_equal(first, second)
    assert np.abs(np.asarray(alone).astype(int) - np.asarray(second)).max() <= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eta": 1.1}, "eta must be between 0 and 1, not 1.1"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
    ],
)
def test_what_cannot_be_decoded_is_refused(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    latent = invert(system, [picture()], steps=1)
    with pytest.raises(RequestError, match=message):
        decode(system, latent, **changes)


def test_a_model_without_its_decoder_inverts_nothing(system: System, picture: Draw) -> None:
    with pytest.raises(RequestError, match="need the undistilled decoder"):
        invert(replace(system, decoder=None), [picture()])
    with pytest.raises(RequestError, match="steps must be between 1 and 1000, not 0"):
        invert(system, [picture()], steps=0)
