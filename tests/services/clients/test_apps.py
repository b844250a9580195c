"""What Open WebUI, LibreChat, LobeChat and Nextcloud send, by their source, to a real server.

They are not run here: these are the requests that they make.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from unclip_server import Server

PROMPT = "a red cube on a table"


@pytest.fixture
def http(server: Server, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{server.url}/v1", headers=headers, timeout=120.0) as http:
        yield http


@pytest.fixture
def picture(pictures: Path) -> bytes:
    return (pictures / "picture.png").read_bytes()


def keys_of(answer: httpx.Response) -> list[set[str]]:
    assert answer.status_code == 200, answer.text
    return [set(item) for item in answer.json()["data"]]


def test_open_webui_draws(http: httpx.Client) -> None:
    asked = {"model": "dall-e-2", "prompt": PROMPT, "n": 1, "size": "512x512", "response_format": "b64_json"}
    assert keys_of(http.post("/images/generations", json=asked)) == [{"b64_json"}]
    azure = http.post("/images/generations", params={"api-version": "2025-04-01"}, json=asked)
    assert keys_of(azure) == [{"b64_json"}]


@pytest.mark.parametrize("field", ["image", "image[]"])
def test_open_webui_edits_an_opaque_picture_without_a_mask(
    http: httpx.Client, picture: bytes, field: str
) -> None:
    asked = {"model": "dall-e-2", "prompt": PROMPT, "size": "256x256", "background": "auto"}
    answer = http.post("/images/edits", data=asked, files={field: ("image.png", picture, "image/png")})
    assert keys_of(answer) == [{"b64_json"}]


def test_librechat_draws_and_edits_and_reads_base64(http: httpx.Client, picture: bytes) -> None:
    asked: dict[str, Any] = {"model": "dall-e-2", "prompt": PROMPT, "n": 1, "quality": "auto", "size": "auto"}
    drawing = {**asked, "background": "auto", "output_format": "webp", "output_compression": 100}
    assert keys_of(http.post("/images/generations", json=drawing)) == [{"b64_json"}]
    files = [("image[]", ("image.png", picture, "image/png"))]
    assert keys_of(http.post("/images/edits", data=asked, files=files)) == [{"b64_json"}]


def test_librechat_s_key_may_answer_base64_always(http: httpx.Client, server: Server) -> None:
    own = server.create_key("librechat", "--response-format", "b64_json")
    headers = {"Authorization": f"Bearer {own}"}
    answer = http.post("/images/generations", json={"prompt": PROMPT, "size": "256x256"}, headers=headers)
    assert keys_of(answer) == [{"b64_json"}]


def test_lobechat_edits_with_a_field_of_later_models(http: httpx.Client, picture: bytes) -> None:
    asked = {"model": "dall-e-2", "prompt": PROMPT, "input_fidelity": "high", "response_format": "b64_json"}
    answer = http.post("/images/edits", data=asked, files={"image": ("image.png", picture, "image/png")})
    assert keys_of(answer) == [{"b64_json"}]


def test_nextcloud_s_probe_is_neither_401_nor_404(http: httpx.Client) -> None:
    answer = http.post("/images/generations", json={"prompt": "a", "model": "invalid-model"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "model_not_found"


def test_nextcloud_may_use_basic_authentication(http: httpx.Client, server: Server, key: str) -> None:
    asked = {"prompt": PROMPT, "size": "256x256", "n": 1, "model": "dall-e-2"}
    answer = httpx.post(
        f"{server.url}/v1/images/generations", json=asked, auth=("anybody", key), timeout=120.0
    )
    assert keys_of(answer) == [{"url"}]
    url = answer.json()["data"][0]["url"]
    assert http.get(url).headers["content-type"] == "image/png"  # with the key
    assert httpx.get(url).headers["content-type"] == "image/png"  # and without
