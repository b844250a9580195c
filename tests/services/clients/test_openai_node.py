"""npm's `openai` against a real server, in the newest version that Node can run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import program
from unclip_server import Server

DRIVER = Path(__file__).with_name("drive_openai.mjs")


@pytest.fixture(scope="module")
def saw(server: Server, node_folder: Path, run: Callable[..., str], forbidden: str) -> dict[str, Any]:
    limited = server.create_key("limited node", "--images-per-minute", "1")
    driver = shutil.copy(DRIVER, node_folder)  # a module looks for others beside itself
    return json.loads(run(program("node"), driver, forbidden, limited))


def test_sentences_become_pictures(saw: dict[str, Any]) -> None:
    assert saw["url"] == [256, 256]
    assert saw["b64_json"] == [256]
    assert "dall-e-2" in saw["models"]


def test_pictures_come_as_streams_and_as_files(saw: dict[str, Any]) -> None:
    assert saw["edits"] == {"chunked": [256], "typed": [256], "list": [256, 256]}
    assert saw["variations"] == {"chunked": [512], "typed": [256, 256]}


def test_pictures_are_streamed(saw: dict[str, Any]) -> None:
    *partial, last = saw["streamed"]
    assert 1 <= len(partial) <= 2
    assert all(event == ["image_generation.partial_image", 256] for event in partial)
    assert last == ["image_generation.completed", 256]


ERRORS = [
    ("long_prompt", "BadRequestError", 400, None, "prompt"),
    ("n", "BadRequestError", 400, "integer_above_max_value", "n"),
    ("size", "BadRequestError", 400, "invalid_size", None),
    ("content_policy", "BadRequestError", 400, "content_policy_violation", None),
    ("wrong_key", "AuthenticationError", 401, "invalid_api_key", None),
    ("model_page", "NotFoundError", 404, "model_not_found", "model"),
    ("rate", "RateLimitError", 429, "rate_limit_exceeded", None),
]


@pytest.mark.parametrize(("what", "kind", "status", "code", "param"), ERRORS, ids=[row[0] for row in ERRORS])
def test_what_is_refused_is_thrown_as_openai_throws_it(
    saw: dict[str, Any], what: str, kind: str, status: int, code: str | None, param: str | None
) -> None:
    refusal = saw["refused"][what]
    assert [refusal[name] for name in ("class", "status", "code", "param")] == [kind, status, code, param]
    assert refusal["request_id"].startswith("req_")
