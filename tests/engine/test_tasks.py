import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import drive, finish
from unclip.engine.tasks import TASKS, prepare
from unclip.errors import RequestError
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System
from unclip.text.prompts import check_prompt

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
HOLED = PICTURE.convert("RGBA")
HOLED.paste((0, 0, 0, 0), (20, 20, 44, 44))
GIVEN = {"picture": PICTURE, "holed": HOLED}
FEW: dict[str, Any] = {"steps": 2, "seed": 7}

SETTINGS: dict[str, dict[str, Any]] = {
    "text_to_image": {"prompt": "a red cube", "n": 2, "size": 64, "prior_steps": 2, **FEW},
    "variations": {"image": {"picture": "picture"}, "n": 2, "size": 64, **FEW},
    "edit": {"image": {"picture": "holed"}, "prompt": "an apple", "n": 2, "resamplings": 1, **FEW},
    "outpaint": {"image": {"picture": "picture"}, "prompt": "a cube", "right": 32, "resamplings": 1, **FEW},
    "text_diff": {
        "image": {"picture": "picture"},
        "target": "a blue cube",
        "source": "a red cube",
        "theta": [0.2, 0.6],
        "steps": 3,
        "size": 64,
        "decoder_steps": 2,
    },
    "interpolation": {
        "a": {"picture": "picture"},
        "b": "a blue apple",
        "steps": 3,
        "size": 64,
        "decoder_steps": 2,
    },
    "mix": {"parts": [{"picture": "picture"}, "a cube"], "weights": [1.0, 3.0], "n": 2, "size": 64, **FEW},
}


def drawn(system: System, task: str, settings: Mapping[str, Any]) -> Tensor:
    return finish(drive(prepare(system, task, settings, GIVEN).plan))


def test_every_task_is_tried() -> None:
    assert SETTINGS.keys() == TASKS.keys()


@pytest.mark.parametrize("task", SETTINGS)
def test_settings_that_fit_json_make_pictures_each_with_its_request(system: System, task: str) -> None:
    settings = json.loads(json.dumps(SETTINGS[task]))
    prepared = prepare(system, task, settings, GIVEN)
    images = finish(drive(prepared.plan))
    assert len(images) == len(prepared.requests)
    assert images.isfinite().all()
    requests = json.loads(json.dumps(list(prepared.requests)))
    assert len({json.dumps(request, sort_keys=True) for request in requests}) == len(requests)
    assert all(request["guidance_scale"] is not None for request in requests)
    assert [image.size for image in prepared.images] == [(64, 64)] * ("picture" in json.dumps(settings))


@pytest.mark.parametrize("task", ["text_to_image", "variations", "edit", "mix"])
def test_a_pictures_request_makes_it_alone(system: System, task: str) -> None:
    settings = SETTINGS[task]
    both = drawn(system, task, settings)
    known = {field.name for field in fields(TASKS[task].request)}
    for place, request in enumerate(prepare(system, task, settings, GIVEN).requests):
        said = {name: value for name, value in request.items() if name in known}
        given = {name: settings[name] for name in ("image", "parts") if name in settings}
        (alone,) = drawn(system, task, said | given)
        assert (alone - both[place]).abs().max() < 2 / 127.5


def test_the_ways_of_a_series_are_told(system: System) -> None:
    for task, thetas in (("text_diff", [0.2, 0.4, 0.6]), ("interpolation", [0, 0.5, 1])):
        requests = prepare(system, task, SETTINGS[task], GIVEN).requests
        assert [request["theta"] for request in requests] == pytest.approx(thetas)


def test_a_plan_is_that_of_the_tasks_own_function(system: System) -> None:
    request = TextToImage("a red cube", n=2, size=64, prior_steps=2, steps=2, seed=7)
    expected = finish(drive(text_to_image(system, request)))
    assert torch.equal(drawn(system, "text_to_image", SETTINGS["text_to_image"]), expected)


def test_a_long_sentence_is_cut_and_that_is_told(system: System) -> None:
    long, limit = "a red cube on a table " * 20, system.tokenizer.context_length
    settings = {**SETTINGS["text_to_image"], "prompt": long, "negative": "a blue cube"}
    prepared = prepare(system, "text_to_image", settings, {})
    assert prepared.shortened.keys() == {"prompt"}
    cut = prepared.shortened["prompt"]
    assert long.startswith(cut)
    assert system.tokenizer.count(cut) <= limit
    assert prepared.requests[0]["prompt"] == check_prompt(cut, system.tokenizer)
    assert list(prepared.sentences) == [cut, "a blue cube"]


@pytest.mark.parametrize(("task", "expected"), [("mix", ["a cube"]), ("interpolation", ["a blue apple"])])
def test_sentences_among_pictures_are_found(system: System, task: str, expected: list[str]) -> None:
    prepared = prepare(system, task, SETTINGS[task], GIVEN)
    assert list(prepared.sentences) == expected


def test_a_long_sentence_among_the_parts_of_a_mix_is_cut(system: System) -> None:
    long = "a red cube on a table " * 20
    prepared = prepare(system, "mix", {**SETTINGS["mix"], "parts": [long, "a cube"], "weights": None}, {})
    assert [long.startswith(text) for text in prepared.sentences] == [True, False]
    assert all(system.tokenizer.count(text) <= system.tokenizer.context_length for text in prepared.sentences)
    assert prepared.shortened == {"parts[0]": prepared.sentences[0]}


def test_no_picture_is_in_what_is_said(system: System) -> None:
    for task, settings in SETTINGS.items():
        for request in prepare(system, task, settings, GIVEN).requests:
            assert not any(isinstance(value, Image.Image) for value in request.values())


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        ("dream", {}, "task 'dream' is not one of text_to_image"),
        ("text_to_image", {"prompt": "a", "colour": "red"}, "has no setting colour: it has best_of"),
        ("text_to_image", {}, "prompt"),
        ("text_to_image", {"prompt": "  "}, "the prompt is empty"),
        ("text_to_image", {"prompt": "a \ud83d cube"}, "half of a surrogate pair"),
        ("text_to_image", {"prompt": "a cube", "size": 65}, "size 65 is not one of 64, 256, 1024"),
        ("text_to_image", {"prompt": "a cube", "n": 0}, "n"),
        ("text_to_image", {"prompt": "a cube", "sampler": "magic"}, "sampler 'magic'"),
        ("edit", {"image": {"picture": "picture"}, "prompt": "a cube"}, "there is no hole"),
        ("mix", {"parts": ["a cube"], "weights": [1.0, 2.0]}, "2 weights for 1 parts"),
        ("interpolation", {"a": "a cube", "b": "an apple", "steps": 1}, "steps must be at least 2"),
        ("variations", {"image": {"photo": "picture"}}, "{'photo': 'picture'} is no picture"),
        ("variations", {"image": {"picture": "gone"}}, "{'picture': 'gone'} is no picture"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_is_drawn(
    system: System, task: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        prepare(system, task, settings, GIVEN)
