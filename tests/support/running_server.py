"""A server of the stub engine, in a thread of this process, and users of it who each have a key."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import uvicorn
from PIL import Image
from stub_engine import Engines, until

from unclip.client import Event
from unclip.client.sse import EventReader
from unclip.server.app import create_app
from unclip.server.service import Service

PATIENCE = 20.0  # seconds


class Hearing:
    """What a user hears of their jobs, as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._pieces, self._reader = response.iter_bytes(), EventReader()
        self._events = self._read()

    def _read(self) -> Iterator[Event]:
        for piece in self._pieces:
            yield from self._reader.feed(piece)

    def next(self, name: str | None = None) -> Event:
        """The next event, or the next of a name."""
        return next(event for event in self._events if name in (None, event.name))

    def until(self, happened: Callable[[Event], bool]) -> list[Event]:
        """All events up to the one that is waited for."""
        heard = list[Event]()
        for event in self._events:
            heard.append(event)
            if happened(event):
                break
        return heard

    def rest(self) -> list[Event]:
        """All events until the server ends the stream."""
        return list(self._events)


@dataclass(frozen=True)
class User:
    """Who has a key, and asks with it."""

    id: str
    http: httpx.Client

    def get(self, path: str, **params: Any) -> Any:
        return self._json(self.http.get(path, params=params), 200)

    def job(self, task: str, status: int = 202, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """Ask for a job, and return what is answered."""
        said = {"task": task, **fields}
        return self._json(self.http.post("/api/jobs", json=said, headers=headers), status)

    def done(self, task: str, **fields: Any) -> Any:
        """Ask for a job, and return it when it has ended."""
        id = self.job(task, **fields)["id"]
        until(lambda: self.get(f"/api/jobs/{id}")["state"] not in ("queued", "running"))
        return self.get(f"/api/jobs/{id}")

    def upload(self, data: bytes) -> Any:
        """Give the server a picture to keep."""
        return self._json(self.http.post("/api/images", content=data), 201)

    def refused(self, method: str, path: str, status: int, **sent: Any) -> Any:
        """Ask for what is refused, and return the error."""
        return self._json(self.http.request(method, path, **sent), status)["error"]

    @contextmanager
    def hearing(self, **headers_and_params: Any) -> Iterator[Hearing]:
        """Listen to what happens to the user's jobs."""
        with self.http.stream("GET", "/api/events", **headers_and_params) as response:
            assert response.status_code == 200, response.read()
            yield Hearing(response)

    def _json(self, response: httpx.Response, status: int) -> Any:
        assert response.status_code == status, (response.status_code, response.text)
        return response.json()


@dataclass
class Running:
    """A server in a thread of this process."""

    service: Service
    engines: Engines
    closing: ExitStack = field(default_factory=ExitStack)
    server: uvicorn.Server | None = None
    url: str = ""

    def start(self) -> "Running":
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(create_app(self.service), log_config=None, timeout_graceful_shutdown=5)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([listener],))
        self._thread.start()
        until(lambda: self.server is not None and self.server.started)
        return self

    def stop(self) -> None:
        """End it, as by a signal: whoever listens is told, as `serve` does."""
        assert self.server is not None
        self.closing.close()
        self.service.events.close()
        self.server.should_exit = True
        self._thread.join()

    def in_loop(self, do: Callable[[], None]) -> None:
        """Do something in the loop of the server."""
        done = threading.Event()
        loop: asyncio.AbstractEventLoop = self.service.dispatcher._loop
        loop.call_soon_threadsafe(lambda: (do(), done.set()))
        assert done.wait(PATIENCE)

    def user(self, name: str, **about: Any) -> User:
        """Make a key, and a client that has it."""
        key, secret = self.service.keys.create(name, **about)
        headers = {"authorization": f"Bearer {secret}"}
        http = httpx.Client(
            base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False, verify=False
        )
        return User(key.id, self.closing.enter_context(http))


def a_png(colour: str = "teal", size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    file = BytesIO()
    Image.new(mode, size, colour).save(file, "PNG")
    return file.getvalue()
