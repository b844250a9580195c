"""The `openai` package of Python against a real server: the oldest of today's interface, and the newest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unclip_server import Server

DRIVER = Path(__file__).with_name("drive_openai.py")
VERSIONS = {
    "oldest": ("openai==1.0.0", "httpx<0.28"),
    "newest": ("openai",),
}  # the oldest knows no later httpx


@pytest.fixture(scope="module", params=VERSIONS)
def saw(
    request: pytest.FixtureRequest,
    server: Server,
    python_with: Callable[..., Path],
    run: Callable[..., str],
    forbidden: str,
) -> dict[str, Any]:
    """What the package saw; the same script drives every version."""
    limited = server.create_key(f"limited {request.param}", "--images-per-minute", "1")
    spent = server.create_key(f"spent {request.param}", "--monthly-credits", "1")
    python = python_with(*VERSIONS[request.param])
    saw = json.loads(run(python, DRIVER, forbidden, limited, spent))
    assert (saw["version"] == "1.0.0") == (request.param == "oldest")
    return saw


def test_sentences_become_pictures(saw: dict[str, Any]) -> None:
    assert saw["drawn"] == {
        "url": [256],
        "has_url": True,
        "b64_json": [256, 256],
        "has_b64_json": True,
        "sizes": [256, 512, 1024],
        "no_size": [1024],
        "foreign": [256],
    }


def test_pictures_are_edited_however_they_are_given(saw: dict[str, Any]) -> None:
    ways = ["files", "bytes", "bytes_io", "own_hole", "opaque", "white"]
    several = ["list"] if saw["streamed"] else []
    assert saw["edited"] == {way: [256, 256] if way == "files" else [256] for way in ways + several}


def test_pictures_are_varied(saw: dict[str, Any]) -> None:
    deprecated = saw["streamed"] is not None  # the newest says so, and sends it all the same
    assert saw["varied"] == {"file": [256, 256], "bytes": [512], "deprecated": deprecated}


def test_pictures_are_streamed(saw: dict[str, Any]) -> None:
    if saw["version"] == "1.0.0":
        assert saw["streamed"] is None
        return
    streamed = saw["streamed"]
    assert streamed["types"][-1] == "image_generation.completed"
    assert set(streamed["types"][:-1]) == {"image_generation.partial_image"}
    assert streamed["indices"] in ([0], [0, 1])  # fewer where the picture is finished before
    assert set(streamed["sides"]) == {256}
    assert streamed["tokens"] == 0
    assert streamed["edits"] == ["image_edit.partial_image", "image_edit.completed"]


ERRORS = [
    ("long_prompt", "BadRequestError", 400, None, "prompt"),
    ("empty_prompt", "BadRequestError", 400, "*", "prompt"),
    ("n", "BadRequestError", 400, "integer_above_max_value", "n"),
    ("size", "BadRequestError", 400, "invalid_size", None),
    ("content_policy", "BadRequestError", 400, "content_policy_violation", None),
    ("model", "BadRequestError", 400, "model_not_found", "model"),
    ("unknown", "BadRequestError", 400, "unknown_parameter", "colour"),
    ("no_picture", "BadRequestError", 400, "unsupported_file_mimetype", "image"),
    ("wrong_key", "AuthenticationError", 401, "invalid_api_key", None),
    ("model_page", "NotFoundError", 404, "model_not_found", "model"),
    ("rate", "RateLimitError", 429, "rate_limit_exceeded", None),
    ("quota", "RateLimitError", 429, "insufficient_quota", None),
]


@pytest.mark.parametrize(("what", "kind", "status", "code", "param"), ERRORS, ids=[row[0] for row in ERRORS])
def test_what_is_refused_is_raised_as_openai_raises_it(
    saw: dict[str, Any], what: str, kind: str, status: int, code: str | None, param: str | None
) -> None:
    refusal = saw["refused"][what]
    assert (refusal["class"], refusal["status"], refusal["param"]) == (kind, status, param)
    assert code in ("*", refusal["code"])
    assert refusal["request_id"].startswith("req_")
    types = {"rate_limit_exceeded": "requests", "insufficient_quota": "insufficient_quota"}
    assert refusal["type"] == types.get(refusal["code"], "invalid_request_error")


def test_every_refusal_is_expected(saw: dict[str, Any]) -> None:
    assert saw["refused"].keys() == {row[0] for row in ERRORS}


def test_models_are_listed(saw: dict[str, Any]) -> None:
    assert "dall-e-2" in saw["listed"]["models"]
    assert saw["listed"]["owners"] == ["unclip"]
    assert saw["listed"]["retrieved"] == "dall-e-2"
