import json
from typing import Any

import pytest

from unclip.server.contract import (
    Edit,
    Generation,
    Parameters,
    Variation,
    expects_b64,
    from_form,
    parse,
    read_json,
)
from unclip.server.errors import ApiError
from unclip.server.settings import Compat

PROMPT = {"prompt": "a red cube"}
BOTH: tuple[Compat, ...] = ("lenient", "strict")


def refusal(kind: type[Parameters], values: dict[str, Any], compat: Compat = "lenient") -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse(kind, values, compat)
    return refused.value


# What is refused, by whom: https://github.com/openai/openai-openapi, and the errors of the live API.
REFUSED: list[tuple[type[Parameters], dict[str, Any], str | None, str | None, str]] = [
    (Generation, {}, "missing_required_parameter", "prompt", "Missing required parameter: 'prompt'."),
    (Edit, {"n": 1}, "missing_required_parameter", "prompt", "Missing required parameter: 'prompt'."),
    (
        Generation,
        {"prompt": "x" * 1001},
        None,
        "prompt",
        "Prompt must be length 1000 or less. Your prompt length is 1001. Please reduce your prompt length.",
    ),
    (Generation, {"prompt": ""}, "invalid_value", "prompt", "at least 1 character"),
    (Generation, {"prompt": None}, "invalid_type", "prompt", "should be a valid string"),
    (Generation, {"prompt": ["a"]}, "invalid_type", "prompt", "should be a valid string"),
    (Generation, {"prompt": 7}, "invalid_type", "prompt", "should be a valid string"),
    (
        Generation,
        {**PROMPT, "n": 11},
        "integer_above_max_value",
        "n",
        "11 is greater than the maximum of 10 - 'n'",
    ),
    (Generation, {**PROMPT, "n": 0}, "integer_below_min_value", "n", "0 is less than the minimum of 1 - 'n'"),
    (Generation, {**PROMPT, "n": -3}, "integer_below_min_value", "n", "-3 is less than the minimum of 1"),
    (Generation, {**PROMPT, "n": "2"}, "invalid_type", "n", "should be a valid integer"),
    (Generation, {**PROMPT, "n": 2.0}, "invalid_type", "n", "should be a valid integer"),
    (Generation, {**PROMPT, "n": True}, "invalid_type", "n", "should be a valid integer"),
    (Variation, {"n": 11}, "integer_above_max_value", "n", "11 is greater than the maximum of 10 - 'n'"),
    (
        Generation,
        {**PROMPT, "size": "1792x1024"},
        "invalid_size",
        None,
        "The size is not supported by this model.",
    ),
    (Generation, {**PROMPT, "size": 256}, "invalid_size", None, "The size is not supported by this model."),
    (Edit, {**PROMPT, "size": ""}, "invalid_size", None, "The size is not supported by this model."),
    (
        Generation,
        {**PROMPT, "response_format": "png"},
        "invalid_value",
        "response_format",
        "Invalid value: 'png'. Supported values are: 'url' or 'b64_json'.",
    ),
    (Generation, {**PROMPT, "user": 3}, "invalid_type", "user", "should be a valid string"),
    (Generation, {**PROMPT, "model": "m" * 1025}, "invalid_value", "model", "at most 1024 characters"),
    (Generation, {"prompt": "a\0b"}, "invalid_value", "prompt", "Invalid value for 'prompt': it has a NUL."),
    (Variation, {"user": "\0"}, "invalid_value", "user", "Invalid value for 'user': it has a NUL."),
    (Generation, {**PROMPT, "colour": "red"}, "unknown_parameter", "colour", "Unknown parameter: 'colour'."),
    (Variation, {"prompt": "a"}, "unknown_parameter", "prompt", "Unknown parameter: 'prompt'."),
    (Generation, {**PROMPT, "mask_mode": "alpha"}, "unknown_parameter", "mask_mode", "Unknown parameter"),
]


@pytest.mark.parametrize("compat", BOTH)
@pytest.mark.parametrize(("kind", "values", "code", "param", "message"), REFUSED)
def test_what_is_wrong_is_refused_in_the_words_of_the_live_api(
    kind: type[Parameters],
    values: dict[str, Any],
    code: str | None,
    param: str | None,
    message: str,
    compat: Compat,
) -> None:
    error = refusal(kind, values, compat)
    assert error.status == 400
    assert error.error["type"] == "invalid_request_error"
    assert (error.error["code"], error.error["param"]) == (code, param)
    assert error.error["message"] is not None
    assert message in error.error["message"]


FOREIGN: list[tuple[type[Parameters], str, Any]] = [
    (Generation, "quality", "standard"),
    (Generation, "quality", "hd"),
    (Generation, "style", "vivid"),
    (Generation, "background", "auto"),
    (Generation, "moderation", "low"),
    (Generation, "output_format", "webp"),
    (Generation, "output_compression", 90),
    (Generation, "stream", True),
    (Generation, "partial_images", 2),
    (Edit, "input_fidelity", "high"),
    (Edit, "background", "opaque"),
    (Edit, "quality", "auto"),
]


@pytest.mark.parametrize(("kind", "name", "value"), FOREIGN)
def test_parameters_of_later_models_are_taken_or_unknown(
    kind: type[Parameters], name: str, value: Any
) -> None:
    assert parse(kind, {**PROMPT, name: value}, "lenient")
    assert parse(kind, {**PROMPT, name: None}, "lenient")
    error = refusal(kind, {**PROMPT, name: value}, "strict").error
    assert (error["code"], error["param"]) == ("unknown_parameter", name)
    assert error["message"] == f"Unknown parameter: '{name}'."


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("quality", "ultra", "invalid_value"),
        ("background", "transparent", "invalid_value"),  # there is none to give
        ("output_compression", 101, "integer_above_max_value"),
        ("partial_images", 4, "integer_above_max_value"),
        ("partial_images", -1, "integer_below_min_value"),
        ("stream", "yes", "invalid_type"),
        ("stream", 1, "invalid_type"),
    ],
)
def test_what_cannot_be_meant_is_refused_even_where_it_is_ignored(name: str, value: Any, code: str) -> None:
    error = refusal(Generation, {**PROMPT, name: value}).error
    assert (error["code"], error["param"]) == (code, name)


@pytest.mark.parametrize("compat", BOTH)
@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024", "auto", None])
def test_sizes_are_those_of_dall_e_2(size: str | None, compat: Compat) -> None:
    asked = parse(Generation, {**PROMPT, "size": size}, compat)
    assert asked.side == {"256x256": 256, "512x512": 512}.get(str(size), 1024)


@pytest.mark.parametrize("kind", [Generation, Edit, Variation])
def test_null_and_absent_are_the_same(kind: type[Parameters]) -> None:
    given = {} if kind is Variation else PROMPT
    nulls = dict.fromkeys(set(kind.model_fields) - {"prompt"})
    asked = parse(kind, {**given, **nulls}, "lenient")
    assert asked.model_dump() == parse(kind, given, "lenient").model_dump()
    assert not expects_b64(asked)
    assert asked.side == 1024


def test_the_longest_prompt_is_counted_in_characters() -> None:
    assert parse(Generation, {"prompt": "\U0001f34e" * 1000}, "strict").prompt
    error = refusal(Generation, {"prompt": "\U0001f34e" * 1001})
    assert "Your prompt length is 1001." in str(error)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"quality": "standard"}, False),
        ({"quality": "hd", "style": "vivid"}, False),
        ({"quality": "auto"}, True),
        ({"quality": "high"}, True),
        ({"background": "auto"}, True),
        ({"output_format": "png"}, True),
        ({"output_compression": 0}, True),
        ({"moderation": "auto"}, True),
        ({"background": None, "moderation": None}, False),
        ({"stream": False}, False),
    ],
)
def test_clients_of_models_without_links_are_known_by_their_parameters(
    given: dict[str, Any], expected: bool
) -> None:
    assert expects_b64(parse(Generation, {**PROMPT, **given}, "lenient")) is expected


def test_of_an_edit_its_fidelity_says_the_same() -> None:
    assert expects_b64(parse(Edit, {**PROMPT, "input_fidelity": "high"}, "lenient"))
    assert not expects_b64(parse(Variation, {}, "lenient"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"prompt=a",
        b'{"prompt": "\xff"}',
        b'{"prompt": "a \\ud83d cube"}',
        b'{"\\ud83d": 1}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="could not parse the JSON body"):
        read_json(body)


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"null", b"3"])
def test_a_body_is_an_object(body: bytes) -> None:
    with pytest.raises(ApiError, match="must be a JSON object"):
        read_json(body)


def test_a_json_body_is_read() -> None:
    assert read_json(b'{"prompt": "a \\ud83c\\udf4e", "n": 2}') == {"prompt": "a \U0001f34e", "n": 2}


@pytest.mark.parametrize(
    ("written", "read"),
    [("2.0", 2), ("2e0", 2), ("-0.0", 0), ("2.5", 2.5), ("1e15", 10**15), ("1e300", 1e300), ("7", 7)],
)
def test_a_whole_number_is_one_however_it_is_written(written: str, read: int | float) -> None:
    found = read_json(b'{"n": %b}' % written.encode())["n"]
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"n": "2", "prompt": "3"}, {"n": 2, "prompt": "3"}),
        ({"n": "0"}, {"n": 0}),
        ({"n": "-1"}, {"n": -1}),
        ({"n": "2.5"}, {"n": "2.5"}),
        ({"n": "1e3"}, {"n": "1e3"}),
        ({"n": "\u0662"}, {"n": "\u0662"}),
        ({"n": "9" * 5000}, {"n": "9" * 5000}),
        ({"n": "", "size": "", "user": ""}, {}),
        ({"prompt": ""}, {"prompt": ""}),
        ({"stream": "true"}, {"stream": True}),
        ({"stream": "False"}, {"stream": False}),
        ({"stream": "1"}, {"stream": "1"}),
        (
            {"partial_images": "3", "output_compression": "80"},
            {"partial_images": 3, "output_compression": 80},
        ),
        ({"model": "2"}, {"model": "2"}),
    ],
)
def test_the_texts_of_a_form_get_the_types_of_json(fields: dict[str, str], expected: dict[str, Any]) -> None:
    found = from_form(fields)
    assert found == expected
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


def test_what_was_given_is_shown_no_longer_than_needed() -> None:
    for name, value in (("n", 10**4000), ("size", "x" * 5000), ("response_format", "y" * 5000)):
        assert len(str(refusal(Generation, {**PROMPT, name: value}))) < 200
    error = refusal(Generation, {**PROMPT, "z" * 5000: 1}).error
    assert len(error["param"] or "") <= 60
    json.dumps(error)
