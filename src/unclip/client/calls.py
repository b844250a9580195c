"""Requests as the server takes them, and when one is sent again: what both clients share."""

import json
import os
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import httpx

from unclip.client.answers import UNDER_WAY, Image, refusal, retry_after
from unclip.client.sse import Event
from unclip.errors import DataError, RequestError


@runtime_checkable
class Readable(Protocol):
    """A file that is open, or what reads like one."""

    def read(self) -> bytes:
        """Return its bytes."""
        ...


ImageFile: TypeAlias = bytes | str | Path | Readable  # a picture file: its bytes, its path, or open
Size: TypeAlias = int | str | None  # pixels a side, or as "256x256"; None: the server's default

BASE_URL = "http://127.0.0.1:8000"
RETRIES = 2
LONGEST_WAIT = 60.0  # seconds; who is told to wait longer, as for the next month, is told so at once
POLL = 1.0  # seconds between questions for a job, where events do not come
OPENED = Event("open", {})  # what comes of a stream before its first event
SILENCE = 60.0  # seconds after which a stream of events, which pings, counts as broken


@dataclass(frozen=True)
class Call:
    """A request that httpx can build, as often as it is sent."""

    method: str
    path: str
    parts: dict[str, Any] = field(default_factory=dict[str, Any])  # what httpx sends with it
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Build the request; sent again, it is known to the server as the same."""
        key = {"Idempotency-Key": uuid.uuid4().hex} if self.method == "POST" else {}
        return http.build_request(self.method, self.path, headers=self.headers | key, **self.parts)


def connection(base_url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """Return what httpx must know of the server. Raises RequestError for a base_url that is none."""
    base = base_url.rstrip("/").removesuffix("/v1")
    if not _is_address(base):
        raise RequestError(f"base_url {base_url!r} is no address: give one such as {BASE_URL}")
    key = api_key or os.environ.get("UNCLIP_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {
        "base_url": base,
        "headers": headers,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, 10.0)),
    }


def _is_address(url: str) -> bool:
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return read.scheme in ("http", "https") and bool(read.host)


def pause(outcome: httpx.Response | httpx.TransportError, attempt: int) -> float | None:
    """Return how many seconds to wait before the call is sent again; None: it is not sent again."""
    if attempt == RETRIES:
        return None
    if isinstance(outcome, httpx.TransportError):
        return None if isinstance(outcome, httpx.TimeoutException) else 0.5 * 2**attempt
    seconds = retry_after(outcome)
    busy = outcome.status_code in (429, 503) and outcome.headers.get("x-should-retry") != "false"
    return seconds if busy and seconds is not None and 0 <= seconds <= LONGEST_WAIT else None


def checked(outcome: httpx.Response | httpx.TransportError) -> httpx.Response:
    """Return the answer. Raises ApiError if it is a refusal, RequestError if there is none."""
    if isinstance(outcome, httpx.TransportError):
        raise _unreachable(outcome) from outcome
    if not outcome.is_success:
        raise refusal(outcome)
    return outcome


@contextmanager
def explained() -> Generator[None, None, None]:
    """Say in one sentence that a stream broke off."""
    try:
        yield
    except httpx.TransportError as error:
        raise _unreachable(error) from error


def _unreachable(error: httpx.TransportError) -> RequestError:
    server = error.request.url.copy_with(path="/", query=None)
    reason = str(error) or type(error).__name__
    remedy = "start it with unclip serve, or give another base_url or a longer timeout"
    return RequestError(f"{server} does not answer ({reason}): {remedy}")


def generation(prompt: str, n: int, size: Size, settings: Mapping[str, Any]) -> Call:
    """Ask for pictures of a sentence."""
    return Call(
        "POST", "/v1/images/generations", {"json": {"prompt": prompt, **_common(n, size), **settings}}
    )


def edit(
    image: ImageFile, prompt: str, mask: ImageFile | None, n: int, size: Size, settings: Mapping[str, Any]
) -> Call:
    """Ask for pictures whose hole is painted anew."""
    files = {"image": image} if mask is None else {"image": image, "mask": mask}
    return _form("/v1/images/edits", files, {"prompt": prompt, **_common(n, size), **settings})


def variations(image: ImageFile, n: int, size: Size, settings: Mapping[str, Any]) -> Call:
    """Ask for pictures like a given one."""
    return _form("/v1/images/variations", {"image": image}, {**_common(n, size), **settings})


def upload(image: ImageFile) -> Call:
    """Give the server a picture to keep."""
    return _form("/api/images", {"image": image}, {})


def submission(task: str, settings: Mapping[str, Any]) -> Call:
    """Put a job into the queue; pictures go by their id."""
    body = json.dumps({"task": task, **settings}, default=_id)
    return Call("POST", "/api/jobs", {"content": body.encode()}, {"Content-Type": "application/json"})


def listing(filters: Mapping[str, Any]) -> Call:
    """Ask for a page of the pictures that the server keeps."""
    given = {name: value for name, value in filters.items() if value is not None}
    return Call("GET", "/api/images", {"params": given})


def events(last_event_id: str | None) -> Call:
    """Ask to be told of jobs as they go on."""
    headers = {"Accept": "text/event-stream"}
    headers |= {"Last-Event-ID": last_event_id} if last_event_id else {}
    return Call("GET", "/api/events", {"timeout": SILENCE}, headers)


def may_have_ended(event: Event, job: str) -> bool:
    """Tell whether a job is worth asking for: it has ended, or something may have gone unheard."""
    if event.name == "job":
        return event.about(job) and event.data["state"] not in UNDER_WAY
    return event.name in ("open", "reset")


def _common(n: int, size: Size) -> dict[str, Any]:
    sides = {} if size is None else {"size": f"{size}x{size}" if isinstance(size, int) else size}
    return {"n": n, "response_format": "b64_json", **sides}


def _form(path: str, files: Mapping[str, ImageFile], data: Mapping[str, Any]) -> Call:
    return Call("POST", path, {"data": data, "files": {name: _bytes(file) for name, file in files.items()}})


def _bytes(file: ImageFile) -> bytes:
    """Read a picture file, which may have to be sent twice."""
    if isinstance(file, bytes):
        return file
    try:
        return Path(file).read_bytes() if isinstance(file, str | Path) else file.read()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); give a picture file") from error


def _id(value: object) -> str:
    if isinstance(value, Image):
        return value.id
    raise RequestError(
        f"a job cannot take {value!r}: upload pictures, and give numbers and words as they are"
    )
