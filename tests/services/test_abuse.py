"""Broken and hostile requests: each is refused in the shape of OpenAI's errors, and none costs the server."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import broken_forms
import broken_pictures
import httpx
import pytest
from broken_requests import EDITS, GENERATIONS, Broken, broken
from programs import proc
from raw_http import Response, send
from unclip_server import Server

COUNT, AT_ONCE = 500, 4
WARM_UP = 100  # requests of the same kinds, after which memory is compared
GROWTH = 50 * 2**20  # bytes
GIGABYTE = 2**30
SETTLE_SECONDS = 10.0
NO_HTTP = ((400, "text/plain; charset=utf-8"), (0, ""))  # uvicorn's own answer, and none
PAST_ALL = 64 * 2**20  # bytes sent, of which a server reads far less before it refuses


@dataclass(frozen=True)
class Abused:
    """A server, and a key for it."""

    server: Server
    key: str

    def send(self, request: Broken) -> Response:
        return send(self.server.port, [request.data.replace(b"KEY", self.key.encode())], request.by_http)[0]

    def send_all(self, seed: int, count: int) -> list[tuple[Broken, Response]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            requests = list(broken(seed, count))
            return list(zip(requests, pool.map(self.send, requests), strict=True))

    def draw(self, **more: object) -> httpx.Response:
        headers, body = {"authorization": f"Bearer {self.key}"}, {"prompt": "a", "size": "256x256", **more}
        return httpx.post(f"{self.server.url}{GENERATIONS}", json=body, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def abused(new_server: Callable[..., Server]) -> Abused:
    proc()  # by which memory is measured
    server = new_server()
    abused = Abused(server, server.create_key("abuser"))
    server.start()
    assert abused.draw(n=2, size="1024x1024").status_code == 200  # what is drawn takes its memory now
    abused.send_all(seed=1, count=WARM_UP)
    return abused


def memory(pid: int, what: str = "VmRSS") -> int:
    """Bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def test_what_is_broken_is_refused_and_leaves_nothing(abused: Abused) -> None:
    assert abused.server.process is not None
    pids = (abused.server.process.pid, *abused.server.engines)
    before = [memory(pid) for pid in pids]
    for request, response in abused.send_all(seed=0, count=COUNT):
        check(request, response)
    check_stream(abused, GENERATIONS, "application/json", b'{"prompt": "')
    part = broken_forms.file("image", b"").removesuffix(b"\r\n")
    check_stream(abused, EDITS, broken_forms.TYPE, f"--{broken_forms.EDGE}\r\n".encode() + part)
    until = time.monotonic() + SETTLE_SECONDS
    while (grown := [memory(pid) - was for pid, was in zip(pids, before, strict=True)]) and max(
        grown
    ) >= GROWTH:
        assert time.monotonic() < until, grown
        time.sleep(0.5)
    assert abused.draw().status_code == 200
    assert pids == (abused.server.process.pid, *abused.server.engines)
    assert "Traceback" not in abused.server.log


def check(request: Broken, response: Response) -> None:
    said = f"{request.kind} was answered with {response}: {request.data[:2000]!r}"
    if request.maybe and response.status == 200:
        return
    if request.by_http and (response.status, response.type) in NO_HTTP:
        return
    assert 400 <= response.status < 500, said
    assert response.error is not None, said
    assert set(response.error) == {"message", "type", "param", "code"}, said
    assert response.error["message"], said
    assert response.error["type"] == "invalid_request_error", said


def check_stream(abused: Abused, path: str, kind: str, begins: bytes) -> None:
    """A gigabyte in chunks, whose length is not said, is refused long before its end."""
    head = f"host: 127.0.0.1\r\nauthorization: Bearer {abused.key}\r\ncontent-type: {kind}\r\n"
    request = f"POST {path} HTTP/1.1\r\n{head}transfer-encoding: chunked\r\n\r\n".encode()
    response, sent = send(abused.server.port, chain([request], chunks(begins)))
    assert sent < PAST_ALL
    assert response.status == 413
    assert set(response.error) == {"message", "type", "param", "code"}


def chunks(begins: bytes) -> Iterator[bytes]:
    for data in chain([begins], repeat(b"a" * 2**20, GIGABYTE // 2**20), [b""]):
        yield b"%x\r\n%b\r\n" % (len(data), data)


def test_large_pictures_of_many_clients_are_few_in_memory(abused: Abused) -> None:
    assert abused.server.process is not None
    whole = broken_pictures.png(4096, 4096)
    assert len(whole) < 100_000

    def vary(_: int) -> int:
        with httpx.Client(base_url=abused.server.url, timeout=120) as client:
            headers, files = {"authorization": f"Bearer {abused.key}"}, {"image": whole}
            body = {"size": "256x256"}
            return client.post("/v1/images/variations", data=body, files=files, headers=headers).status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(vary, range(12))) == {200}
    assert memory(abused.server.process.pid, "VmHWM") < 1024 * 2**20  # twelve would be 2 GB
