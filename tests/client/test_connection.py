"""Both clients against a real server on this machine: streams as they come, and as they break off."""

import asyncio
import json
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asking import Ask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from unclip.client import Partial, Picture
from unclip.errors import RequestError

Serve = Callable[[Any], str]


def event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def partial(index: int) -> str:
    data = {"b64_json": b64encode(b"shown").decode(), "partial_image_index": index}
    return event("image_generation.partial_image", data)


class Drawing:
    """Shows one partial picture, then waits; `left` is set when its client has gone."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.shown = threading.Event()
        self.breaks = False

    async def draw(self) -> AsyncIterator[str]:
        try:
            yield partial(0)
            self.shown.set()
            if self.breaks:
                raise RuntimeError("the process that draws has died")
            for _ in range(500):
                yield ": ping\n\n"
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.left.set()
            raise

    async def answer(self, request: Request) -> Response:
        await request.json()
        return StreamingResponse(self.draw(), media_type="text/event-stream")

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/images/generations", self.answer, methods=["POST"])])


def test_a_partial_picture_comes_before_the_rest_and_leaving_tells_the_server(ask: Ask, serve: Serve) -> None:
    drawing = Drawing()
    ask.settings["base_url"] = serve(drawing.app())
    assert ask("stream", "an apple", first=1) == [Partial(b"shown", 0)]
    assert drawing.left.wait(5)


def test_a_stream_that_breaks_off_says_so(ask: Ask, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    drawing = Drawing()
    drawing.breaks = True
    ask.settings["base_url"] = serve(drawing.app())
    with pytest.raises(RequestError, match=r"does not answer \(.*incomplete chunked read"):
        ask("stream", "an apple")
    assert drawing.shown.is_set()


def test_a_large_picture_comes_whole(ask: Ask, serve: Serve) -> None:
    data = bytes(range(256)) * (1 << 12)
    picture = {"b64_json": b64encode(data).decode()}

    async def draw(request: Request) -> Response:
        if (await request.json()).get("stream"):
            text = partial(0) + event("image_generation.completed", picture)
            return Response(text, media_type="text/event-stream")
        return JSONResponse({"data": [picture]})

    app = Starlette(routes=[Route("/v1/images/generations", draw, methods=["POST"])])
    ask.settings["base_url"] = serve(app)
    assert ask("generate", "an apple") == [Picture(data)]
    assert ask("stream", "an apple") == [Partial(b"shown", 0), Picture(data)]


def test_a_picture_is_understood_as_a_form(ask: Ask, serve: Serve) -> None:
    came: dict[str, Any] = {}

    async def edit(request: Request) -> Response:
        async with request.form() as form:
            for name, value in form.items():
                came[name] = value if isinstance(value, str) else await value.read()
        return JSONResponse({"data": []})

    ask.settings["base_url"] = serve(Starlette(routes=[Route("/v1/images/edits", edit, methods=["POST"])]))
    assert ask("edit", b"lion", "a fox in the snow ❄", mask=b"\x00mask", n=2) == []
    assert came == {
        "image": b"lion",
        "mask": b"\x00mask",
        "prompt": "a fox in the snow ❄",
        "n": "2",
        "response_format": "b64_json",
    }


def test_wait_hears_of_the_end_over_a_connection_of_its_own(ask: Ask, serve: Serve) -> None:
    job: dict[str, Any] = {"id": "job_1", "task": "mix", "state": "running", "n": 1, "created": 1.5}
    asked: list[str] = []

    async def happen() -> AsyncIterator[str]:
        yield event("step", {"job": "job_1", "index": 1, "num_steps": 2})
        while not asked:  # until it is known that somebody listens
            await asyncio.sleep(0.01)
        job["state"] = "done"
        yield event("job", job)
        await asyncio.sleep(60)

    async def events(request: Request) -> Response:
        return StreamingResponse(happen(), media_type="text/event-stream")

    async def told(request: Request) -> Response:
        asked.append(job["state"])
        return JSONResponse(job)

    routes = [Route("/api/events", events), Route("/api/jobs/job_1", told)]
    ask.settings["base_url"] = serve(Starlette(routes=routes))
    heard: list[str] = []
    assert ask("wait", "job_1", lambda event: heard.append(event.name)).state == "done"
    assert heard == ["step", "job"]
    assert asked[-1] == "done"


def test_no_server_is_named(ask: Ask, slept: list[float]) -> None:
    ask.settings["base_url"] = "http://127.0.0.1:9"
    with pytest.raises(RequestError, match=r"^http://127\.0\.0\.1:9/ does not answer \(.*unclip serve"):
        ask("models")
    assert slept == [0.5, 1.0]
