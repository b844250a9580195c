"""What a native job may ask for: the fields of the tasks' own requests, and their bounds."""

import types
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from PIL import Image
from pydantic.fields import FieldInfo

from unclip.engine.tasks import TASKS
from unclip.server.contract import read_json
from unclip.server.errors import ApiError
from unclip.server.native.asked import KINDS, Asked, GivenPicture, PictureId, read_asked

ID = "img_" + "0" * 26
LEAST: dict[str, dict[str, Any]] = {
    "text_to_image": {"prompt": "an apple"},
    "variations": {"image": ID},
    "edit": {"image": ID, "prompt": "a lion"},
    "outpaint": {"image": ID, "prompt": "a beach"},
    "text_diff": {"image": ID, "target": "a lion"},
    "interpolation": {"a": "an apple", "b": {"picture": ID}},
    "mix": {"parts": ["an apple", {"picture": ID}]},
}
OWN = pytest.mark.parametrize("task", list(KINDS))


def read(task: str, **more: Any) -> Asked:
    return read_asked({"task": task, **LEAST[task], **more})


def refusal(task: str, **more: Any) -> dict[str, str | None]:
    with pytest.raises(ApiError) as caught:
        read(task, **more)
    assert caught.value.status == 400
    return caught.value.error


def own_fields(kind: type[Asked]) -> dict[str, FieldInfo]:
    return {name: field for name, field in kind.model_fields.items() if name not in Asked.model_fields}


def essence(annotation: Any) -> Any:
    """A type as both sides state it: pictures by their id, tuples and lists alike."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (Image.Image, GivenPicture, PictureId):
        return frozenset({"picture"})
    if origin is Annotated:
        return essence(args[0])
    if origin in (Union, types.UnionType):
        return frozenset().union(*map(essence, args))
    if origin is Literal:
        return frozenset(args)
    if origin in (tuple, list):
        return frozenset({("many", frozenset().union(*(essence(arg) for arg in args if arg is not ...)))})
    return frozenset({annotation})


def default(field: Field[Any] | FieldInfo) -> Any:
    if isinstance(field, FieldInfo):
        return "required" if field.is_required() else field.get_default(call_default_factory=True)
    assert field.default_factory is MISSING
    value = "required" if field.default is MISSING else field.default
    return list(value) if isinstance(value, tuple) else value


def test_there_is_a_model_for_every_task() -> None:
    assert KINDS.keys() == TASKS.keys() == LEAST.keys()
    assert [get_args(kind.model_fields["task"].annotation) for kind in KINDS.values()] == [
        (name,) for name in KINDS
    ]


@OWN
def test_fields_and_defaults_are_those_of_the_task(task: str) -> None:
    theirs = {field.name: default(field) for field in fields(TASKS[task].request)}
    ours = {name: default(field) for name, field in own_fields(KINDS[task]).items()}
    assert ours.pop("seed") is None  # the server finds one, and tells it
    assert theirs.pop("seed") == 0
    assert ours == theirs


@OWN
def test_types_are_those_of_the_task(task: str) -> None:
    theirs = {field.name: essence(field.type) for field in fields(TASKS[task].request)}
    hints = own_fields(KINDS[task])
    ours = {name: essence(field.annotation) for name, field in hints.items()}
    for name in ("image", "mask"):
        if name in ours:
            ours[name] = frozenset("picture" if part is str else part for part in ours[name])
    ours["seed"] -= {type(None)}
    assert ours == theirs


@OWN
def test_sentences_are_those_that_the_engine_looks_at(task: str) -> None:
    assert TASKS[task].sentences == KINDS[task].SENTENCES


def test_all_sentences_are_looked_at() -> None:
    assert read("text_to_image", negative="a pear").sentences == ["an apple", "a pear"]
    assert read("variations").sentences == []
    assert read("text_diff", source="a cat").sentences == ["a lion", "a cat"]
    assert read("text_diff").sentences == ["a lion"]
    assert read("interpolation").sentences == ["an apple"]
    assert read("mix", parts=["a", {"picture": ID}, "b"]).sentences == ["a", "b"]


@pytest.mark.parametrize(
    ("task", "more", "count"),
    [
        ("text_to_image", {"n": 3}, 3),
        ("variations", {}, 1),
        ("text_diff", {}, 5),
        ("interpolation", {"steps": 32}, 32),
        ("mix", {"n": 10, "steps": 7}, 10),
    ],
)
def test_pictures_are_counted(task: str, more: dict[str, Any], count: int) -> None:
    assert read(task, **more).count == count


def test_settings_are_what_was_set_with_pictures_marked() -> None:
    asked = read("edit", mask=ID, n=1, steps=None, priority=3, user="u-1")
    assert asked.settings() == {"image": {"picture": ID}, "prompt": "a lion", "mask": {"picture": ID}}
    assert read("text_to_image", seed=7, guidance_scale=2).settings() == {
        "prompt": "an apple",
        "seed": 7,
        "guidance_scale": 2.0,
    }


def test_an_id_in_the_place_of_a_sentence_is_a_picture() -> None:
    assert read("mix", parts=[ID, "img_of a lion"]).settings()["parts"] == [{"picture": ID}, "img_of a lion"]
    assert read("text_to_image", prompt="img_1").settings()["prompt"] == "img_1"


LONG = "a" * 1001
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("text_to_image", {"n": 0}, "n", "integer_below_min_value"),
    ("text_to_image", {"n": 11}, "n", "integer_above_max_value"),
    ("text_to_image", {"n": 10**400}, "n", "integer_above_max_value"),
    ("text_to_image", {"n": True}, "n", "invalid_type"),
    ("text_to_image", {"n": "2"}, "n", "invalid_type"),
    ("text_to_image", {"n": 1.5}, "n", "invalid_type"),
    ("text_to_image", {"n": None}, "n", "invalid_type"),
    ("text_to_image", {"best_of": 9}, "best_of", "integer_above_max_value"),
    ("text_to_image", {"candidates": 17}, "candidates", "integer_above_max_value"),
    ("text_to_image", {"steps": 1001}, "steps", "integer_above_max_value"),
    ("text_to_image", {"prior_steps": 1001}, "prior_steps", "integer_above_max_value"),
    ("text_to_image", {"upsampler_steps": 1001}, "upsampler_steps", "integer_above_max_value"),
    ("text_to_image", {"seed": -1}, "seed", "integer_below_min_value"),
    ("text_to_image", {"seed": 2**63}, "seed", "integer_above_max_value"),
    ("text_to_image", {"guidance_scale": 100.5}, "guidance_scale", "decimal_above_max_value"),
    ("text_to_image", {"guidance_scale": float("nan")}, "guidance_scale", "decimal_above_max_value"),
    ("text_to_image", {"guidance_scale": float("inf")}, "guidance_scale", "decimal_above_max_value"),
    ("text_to_image", {"dynamic_threshold": 0}, "dynamic_threshold", "invalid_value"),
    ("text_to_image", {"guidance_interval": [1]}, "guidance_interval", "invalid_value"),
    ("text_to_image", {"guidance_interval": [1, 2, 3]}, "guidance_interval", "invalid_value"),
    ("text_to_image", {"quality": "hd"}, "quality", "invalid_value"),
    ("text_to_image", {"negative": LONG}, "negative", "invalid_value"),
    ("text_to_image", {"prompt": ""}, "prompt", "invalid_value"),
    ("text_to_image", {"image": ID}, "image", "unknown_parameter"),
    ("text_to_image", {"detach": True}, "detach", "unknown_parameter"),
    ("text_to_image", {"priority": 2**31}, "priority", "integer_above_max_value"),
    ("variations", {"eta": 1.1}, "eta", "decimal_above_max_value"),
    ("variations", {"fresh": 1}, "fresh", "invalid_type"),
    ("variations", {"image": {"picture": ID}}, "image", "invalid_type"),
    ("variations", {"image": "x" * 65}, "image", "invalid_value"),
    ("edit", {"resamplings": 11}, "resamplings", "integer_above_max_value"),
    ("outpaint", {"left": -1}, "left", "integer_below_min_value"),
    ("outpaint", {"right": 4097}, "right", "integer_above_max_value"),
    ("outpaint", {"candidates": 17}, "candidates", "integer_above_max_value"),
    ("outpaint", {"frames": [[0, 0]] * 33}, "frames", "invalid_value"),
    ("outpaint", {"frames": [[0, 0, 0]]}, "frames", "invalid_value"),
    ("outpaint", {"frames": [[0, 4097]]}, "frames", "integer_above_max_value"),
    ("text_diff", {"steps": 33}, "steps", "integer_above_max_value"),
    ("text_diff", {"decoder_steps": 1001}, "decoder_steps", "integer_above_max_value"),
    ("text_diff", {"theta": [0, 2]}, "theta", "decimal_above_max_value"),
    ("interpolation", {"steps": 33}, "steps", "integer_above_max_value"),
    ("interpolation", {"steps": 1}, "steps", "integer_below_min_value"),
    ("interpolation", {"a": LONG}, "a", "invalid_value"),
    ("interpolation", {"a": 5}, "a", "invalid_type"),
    ("interpolation", {"b": {"picture": 5}}, "b", "invalid_type"),
    ("interpolation", {"b": {"image": ID}}, "b", "invalid_value"),
    ("mix", {"parts": []}, "parts", "invalid_value"),
    ("mix", {"parts": ["a"] * 17}, "parts", "invalid_value"),
    ("mix", {"weights": [-1.0]}, "weights", "decimal_below_min_value"),
]


@pytest.mark.parametrize(("task", "more", "param", "code"), REFUSED)
def test_what_is_out_of_bounds_is_refused(task: str, more: dict[str, Any], param: str, code: str) -> None:
    error = refusal(task, **more)
    assert (error["param"], error["code"]) == (param, code)
    assert len(error["message"] or "") < 300


def test_errors_are_those_of_the_images_endpoints() -> None:
    assert refusal("text_to_image", n=11)["message"] == "11 is greater than the maximum of 10 - 'n'"
    assert "Your prompt length is 1001" in str(refusal("edit", prompt=LONG)["message"])
    assert refusal("edit", hue=1)["message"] == "Unknown parameter: 'hue'."


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ApiError, match="Missing required parameter: 'prompt'"):
        read_asked({"task": "text_to_image"})
    with pytest.raises(ApiError, match="Missing required parameter: 'task'"):
        read_asked({"prompt": "an apple"})


@pytest.mark.parametrize("task", ["paint", "", None, 5, ["edit"], {"a": 1}])
def test_a_task_that_there_is_not_is_refused(task: Any) -> None:
    with pytest.raises(ApiError, match="Supported values are: 'text_to_image', ") as caught:
        read_asked({"task": task})
    assert caught.value.error["code"] == "invalid_value"


@pytest.mark.parametrize(
    "body", [b'{"\\ud800": 1}', b'{"prompt": "\\udfff"}', b"[" * 100_000, b"[]", b"\xff"]
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_json(body)
    assert caught.value.status == 400
