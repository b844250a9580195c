"""A server in this process, around stub engines: by its HTTP, or message by message."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any

from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import Message
from stub_engine import PATIENCE, Engines

from unclip.server.app import create_app
from unclip.server.service import Service, open_service
from unclip.server.settings import Settings

HERE = ("127.0.0.1", 50000)  # a client on this machine


@dataclass(frozen=True)
class Served:
    """A server that runs, and all that a test may want of it."""

    client: TestClient
    service: Service
    engines: Engines

    def draw(self, **body: Any) -> Any:
        """Ask for pictures of a sentence."""
        headers = body.pop("headers", None)
        body = {"prompt": "a red cube", "size": "256x256"} | body
        return self.client.post("/v1/images/generations", json=body, headers=headers)

    def states(self) -> list[str]:
        """The states of all jobs, the oldest first."""
        return [job.state for job in reversed(self.service.jobs.list(None, 100))]


def error_of(response: Any) -> dict[str, Any]:
    """The error that a response holds, whose shape is always the same."""
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return body["error"]


def file_of(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@dataclass(frozen=True)
class Running:
    """A server in the loop of a test, which can ask it several things at once."""

    app: FastAPI
    service: Service

    def ask(self, path: str, body: Any = None, **how: Any) -> "Exchange":
        """Begin to ask something."""
        return Exchange(self.app, path, body, **how)

    def draw(self, headers: Mapping[str, str] | None = None, query: str = "", **body: Any) -> "Exchange":
        """Begin to ask for pictures of a sentence."""
        body = {"prompt": "a red cube", "size": "256x256"} | body
        return self.ask(f"/v1/images/generations{query}", body, headers=headers)

    @property
    def states(self) -> list[str]:
        """The states of all jobs, the oldest first."""
        return [job.state for job in reversed(self.service.jobs.list(None, 100))]


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Running]:
    """Run a server as long as the context lasts; whatever breaks in its loop breaks the test."""
    service = open_service(settings)
    app = create_app(service)
    broken = list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, what: broken.append(what))
    async with app.router.lifespan_context(app):
        yield Running(app, service)
    assert not broken


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make an asynchronous test one that pytest can run."""

    @wraps(test)
    def run(*fixtures: Any, **named: Any) -> None:
        asyncio.run(test(*fixtures, **named))

    return run


class Exchange:
    """One request, message by message, whose client may go at any moment."""

    def __init__(
        self,
        app: FastAPI,
        path: str,
        body: Any = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        all_headers = {"host": "127.0.0.1:8000", "content-type": "application/json", **(headers or {})}
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in all_headers.items()],
            "client": HERE,
            "server": ("127.0.0.1", 8000),
        }
        self.answers = list[Message]()
        self.incoming = asyncio.Queue[Message]()
        self.incoming.put_nowait({"type": "http.request", "body": sent, "more_body": False})
        self._task = asyncio.ensure_future(app(scope, self.incoming.get, self._send))

    async def _send(self, message: Message) -> None:
        self.answers.append(message)

    def go(self) -> None:
        """The client closes the connection."""
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def ended(self) -> "Exchange":
        """Wait until the server is done with it."""
        await asyncio.wait_for(self._task, PATIENCE)
        return self

    @property
    def is_done(self) -> bool:
        return self._task.done()

    @property
    def status(self) -> int:
        return next(m["status"] for m in self.answers if m["type"] == "http.response.start")

    @property
    def headers(self) -> dict[str, str]:
        start = next(m for m in self.answers if m["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"]}

    @property
    def text(self) -> str:
        return b"".join(m.get("body", b"") for m in self.answers).decode()

    def json(self) -> Any:
        return json.loads(self.text)


async def eventually(happened: Any) -> None:
    """Wait, in a loop, for something to happen."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not happened():
        assert loop.time() < end, "it never happened"
        await asyncio.sleep(0.002)
