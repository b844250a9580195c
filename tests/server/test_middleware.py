import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from served import HERE, Exchange, Served, error_of, eventually, file_of, in_loop, running
from starlette.types import Message
from stub_engine import Engines, hold

from unclip.server.middleware import FORM_BYTES, JSON_BYTES, most_bytes
from unclip.server.settings import Settings

Serve = Callable[..., Served]


# Headers.


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/nowhere", "/v1/images/generations"])
def test_every_answer_has_the_headers_of_the_live_api(standing: Served, path: str) -> None:
    headers = standing.client.get(path).headers
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert 0 <= int(headers["openai-processing-ms"]) < 5000
    assert headers["openai-version"] == "2020-10-01"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_ids_of_requests_are_apart(standing: Served) -> None:
    ids = {standing.client.get("/healthz").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("client-trace-0001", True),
        ("a" * 64, True),
        ("short", False),
        ("a" * 65, False),
        ("with a space in it", False),
        ("new\tline-and-more", False),
        ("caf\u00e9-0123456789", False),
    ],
)
def test_a_client_may_name_its_request(standing: Served, given: str, taken: bool) -> None:
    headers = {"x-request-id": given.encode("latin-1")}
    found = standing.client.get("/healthz", headers=headers).headers["x-request-id"]
    assert (found == given) is taken
    assert re.fullmatch(r"[A-Za-z0-9_-]{8,64}", found)


def test_an_answers_own_headers_stay(standing: Served) -> None:
    headers = standing.client.get("/v1/files-public/img_0.png").headers.multi_items()
    names = [name for name, _ in headers]
    assert len(names) == len(set(names))


def test_pages_of_the_operators_sites_may_call(serve: Serve) -> None:
    served = serve(cors=("https://studio.example",))
    asked = {
        "origin": "https://studio.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    response = served.client.options("/v1/images/generations", headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://studio.example"
    response = served.client.get("/v1/models", headers={"origin": "https://studio.example"})
    assert response.headers["access-control-allow-origin"] == "https://studio.example"
    assert "x-request-id" in response.headers["access-control-expose-headers"]
    other = served.client.options("/v1/models", headers={**asked, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_without_sites_no_page_may_read(standing: Served) -> None:
    response = standing.client.get("/v1/models", headers={"origin": "http://localhost:3000"})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


# Sizes.


def test_a_json_body_has_bounds(standing: Served) -> None:
    body = b'{"prompt": "a red cube", "size": "256x256"}'
    json = {"content-type": "application/json"}
    padded = body + b" " * (JSON_BYTES - len(body))
    assert standing.client.post("/v1/images/generations", content=padded, headers=json).status_code == 200
    response = standing.client.post("/v1/images/generations", content=padded + b" ", headers=json)
    assert response.status_code == 413
    assert error_of(response) == {
        "message": f"The request body is larger than {JSON_BYTES} bytes.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert response.headers["connection"] == "close"
    assert response.headers["x-request-id"]


def test_a_form_has_bounds(standing: Served) -> None:
    picture = file_of(Image.new("RGB", (64, 64)))
    large = picture + bytes(4 * 2**20 - len(picture))  # told from what has too much of all by its message
    response = standing.client.post("/v1/images/variations", files={"image": large})
    assert (response.status_code, "less than 4 MB" in error_of(response)["message"]) == (400, True)
    response = standing.client.post("/v1/images/variations", files={"image": bytes(FORM_BYTES)})
    assert response.status_code == 413
    assert most_bytes("/v1/images/edits") == FORM_BYTES < most_bytes("/api/images")


class Pieces(Exchange):
    """A request whose body comes piece by piece and says no length."""

    def __init__(self, app: Any, path: str, content_type: str, piece: bytes, count: int) -> None:
        super().__init__(app, path, headers={"content-type": content_type})
        self.incoming.get_nowait()
        for _ in range(count):
            self.incoming.put_nowait({"type": "http.request", "body": piece, "more_body": True})
        self.incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    @property
    def unread(self) -> int:
        return self.incoming.qsize()


@pytest.mark.parametrize(
    ("content_type", "most"),
    [("application/json", JSON_BYTES), ("multipart/form-data; boundary=XX", FORM_BYTES)],
)
@in_loop
async def test_a_body_of_no_length_is_read_no_further_than_its_bound(
    settings: Settings, engines: Engines, content_type: str, most: int
) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    piece = (head if "XX" in content_type else b"") + bytes(2**18)
    path = "/v1/images/generations" if "json" in content_type else "/v1/images/variations"
    async with running(settings) as server:
        asked = Pieces(server.app, path, content_type, piece, 100)
        assert (await asked.ended()).status == 413
        assert asked.headers["connection"] == "close"
        assert asked.unread >= 100 - most // 2**18 - 1


@pytest.mark.parametrize("length", ["1e9", "-5", "abc", "9" * 30])
@in_loop
async def test_a_length_that_is_none_is_too_large(settings: Settings, engines: Engines, length: str) -> None:
    async with running(settings) as server:
        asked = server.ask("/v1/images/generations", {"prompt": "a"}, headers={"content-length": length})
        assert (await asked.ended()).status == 413


def test_who_has_no_key_is_told_that_first(served: Served) -> None:
    served.service.keys.create("alice")
    response = served.client.post("/v1/images/generations", content=bytes(2 * JSON_BYTES))
    assert response.status_code == 401


# Counts and lines.


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "me@a", "<a>", "a\\b", "caf\u00e9", "[::1", "[x]", "a:b:c", ":", "a:123456"]
)
@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/images/generations"])
def test_a_host_that_is_none_is_refused(standing: Served, path: str, host: str) -> None:
    response = standing.client.get(path, headers={"host": host.encode("latin-1")})
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_host"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("host", ["a", "A.b-c_d.example:65535", "127.0.0.1", "[::1]:80", "[fe80::1.2.3.4]"])
def test_hosts_have_names_or_numbers(standing: Served, host: str) -> None:
    assert standing.client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/jobs/%00", 404),
        ("/v1/models/a%00b", 404),
        ("/api/images?search=a%00", 400),
        ("/healthz?%00", 400),
    ],
)
def test_an_address_has_no_nul(standing: Served, address: str, status: int) -> None:
    response = standing.client.get(address)
    assert response.status_code == status
    assert "NUL" in error_of(response)["message"]


def test_made_up_methods_and_paths_make_no_new_counts(standing: Served) -> None:
    def lines() -> set[str]:
        text = standing.service.metrics.text().decode()
        return {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("unclip_http")}

    for k in range(3):
        standing.client.request(f"BREW{k}", f"/coffee/{k}")
        standing.client.get(f"/v1/models/{k}")
    before = lines()
    for k in range(3, 8):
        standing.client.request(f"BREW{k}", f"/coffee/{k}")
        standing.client.get(f"/v1/models/{k}")
    assert lines() == before
    assert any('method="other",route="other"' in line for line in before)
    assert any('route="/v1/models/{model}"' in line for line in before)


def test_a_path_is_one_line_of_the_log(standing: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unclip.access"):
        standing.client.get("/a%0A2026-01-01%20INFO%20forged%20line%E2%80%A8")
    (record,) = [record for record in caplog.records if record.name == "unclip.access"]
    assert len(record.getMessage().splitlines()) == 1
    assert "/a%0A2026" in record.getMessage()


@in_loop
async def test_who_leaves_before_the_answer_is_counted_as_gone(
    settings: Settings, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    engines.act = hold
    async with running(settings) as server:
        with caplog.at_level(logging.INFO):
            asked = server.draw()
            await eventually(engines.runs)
            asked.go()
            await asked.ended()
        assert 'status="499"' in server.service.metrics.text().decode()
        assert "POST /v1/images/generations 499" in caplog.text
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@in_loop
async def test_who_leaves_while_the_request_is_read_is_no_error(
    settings: Settings, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(settings) as server:
        asked = Exchange(server.app, "/v1/images/generations")
        asked.incoming.get_nowait()
        asked.incoming.put_nowait({"type": "http.request", "body": b'{"pro', "more_body": True})
        asked.go()
        await asked.ended()
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert server.states == []


@in_loop
async def test_what_is_no_http_is_passed_on(settings: Settings, engines: Engines) -> None:
    async with running(settings) as server:
        sent = list[Message]()

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "path": "/v1/realtime",
            "raw_path": b"/v1/realtime",
            "root_path": "",
            "query_string": b"",
            "headers": [],
            "client": HERE,
            "subprotocols": [],
            "asgi": {"version": "3.0"},
        }
        await asyncio.wait_for(server.app(scope, receive, send), 5)
        assert sent[0]["type"] == "websocket.close"
