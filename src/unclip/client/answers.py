"""What the server answers: pictures, jobs, and why it refuses."""

from base64 import b64decode
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import httpx

from unclip.client.sse import Event
from unclip.errors import RequestError, UnclipError

UNDER_WAY = ("queued", "running")


class ApiError(UnclipError):
    """The server refuses a call, or fails at it; the message says why.

    `status` is HTTP's, and 200 where the error came in the middle of a stream. `code`, `param` and
    `request_id` are None where the server names none; `retry_after` is in seconds, None if it names no time.
    """

    def __init__(
        self,
        message: str,
        status: int,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ):
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.request_id, self.retry_after = request_id, retry_after


@dataclass(frozen=True)
class Picture:
    """A finished picture."""

    data: bytes = field(repr=False)  # a PNG file
    url: str | None = None

    def save(self, path: str | Path) -> None:
        """Write the file as it came, so that its marks and signature stay.

        Raises RequestError for a place that cannot be written.
        """
        try:
            Path(path).write_bytes(self.data)
        except OSError as error:
            reason = f"{path}: cannot be written ({error.strerror})"
            raise RequestError(f"{reason}; choose another place") from error


@dataclass(frozen=True)
class Partial:
    """A picture while it is drawn."""

    data: bytes = field(repr=False)  # a picture file
    index: int  # how many were shown of the same picture before
    image_index: int = 0  # which picture of the request


@dataclass(frozen=True)
class Image:
    """A picture that the server keeps."""

    id: str
    url: str  # opens without a key, for an hour
    mime: str
    width: int
    height: int
    created: float  # unix seconds
    job: str | None = None  # None: an upload
    index: int = 0  # which picture of its job
    prompt: str | None = None
    seed: int | None = None
    parent: str | None = None  # id of the picture it was made from
    favourite: bool = False
    about: dict[str, Any] = field(default_factory=dict[str, Any])  # the request in the file's metadata


@dataclass(frozen=True)
class Job:
    """A task in the server's queue, under way, or ended. Times are unix seconds."""

    id: str
    task: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    n: int  # pictures
    created: float
    started: float | None = None
    finished: float | None = None
    priority: int = 0
    position: int | None = None  # in the queue; None: not queued
    request: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])  # such as words the model never saw
    error: dict[str, Any] | None = None  # message, type, param, code
    images: list[Image] = field(default_factory=list[Image])

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in UNDER_WAY


def body(response: httpx.Response) -> dict[str, Any]:
    """Read an answer. Raises RequestError if it is not JSON."""
    try:
        return dict(response.json())
    except (ValueError, TypeError):
        reason = f"{response.url} answers {response.text[:40]!r}, which is not JSON"
        raise RequestError(f"{reason}: give the base_url of an unclip server") from None


def pictures(response: httpx.Response) -> list[Picture]:
    """Read the pictures of /v1/images."""
    return [Picture(b64decode(item["b64_json"]), item.get("url")) for item in body(response)["data"]]


def drawn(event: Event) -> Partial | Picture:
    """Read an event of a streamed drawing. Raises ApiError if it tells an error."""
    data = event.data
    if data.get("error"):
        raise _refusal(data["error"], 200)
    if event.name.endswith(".completed"):
        return Picture(b64decode(data["b64_json"]))
    return Partial(b64decode(data["b64_json"]), data["partial_image_index"], data.get("image_index", 0))


def names(response: httpx.Response) -> list[str]:
    """Read the names of /v1/models."""
    return [model["id"] for model in body(response)["data"]]


def image(response: httpx.Response) -> Image:
    """Read a picture of the native API."""
    return _known(Image, body(response))


def page(response: httpx.Response) -> tuple[list[Image], str | None]:
    """Read a page of pictures, and where the next one begins, None after the last."""
    told = body(response)
    return [_known(Image, image) for image in told["data"]], told["next"]


def job(response: httpx.Response) -> Job:
    """Read a job of the native API."""
    told = body(response)
    return _known(Job, told | {"images": [_known(Image, image) for image in told.get("images", ())]})


def refusal(response: httpx.Response) -> ApiError:
    """Read why the server refuses, also where something before it answers in another form."""
    about = (response.status_code, response.headers.get("x-request-id"), retry_after(response))
    try:
        return _refusal(response.json()["error"], *about)
    except (ValueError, KeyError, TypeError):
        message = f"{response.url} answers {response.status_code} {response.reason_phrase}"
        return _refusal({"message": message}, *about)


def retry_after(response: httpx.Response) -> float | None:
    """Return after how many seconds the server says to try again."""
    for header, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return float(response.headers[header]) * unit
        except (KeyError, ValueError):  # not there, or a date
            continue
    return None


def _refusal(
    error: dict[str, Any], status: int, request_id: str | None = None, wait: float | None = None
) -> ApiError:
    return ApiError(error["message"], status, error.get("code"), error.get("param"), request_id, wait)


def _known(cls: type[Any], told: dict[str, Any]) -> Any:
    """Build a dataclass from the fields it knows, so that a newer server may tell more."""
    return cls(**{each.name: told[each.name] for each in fields(cls) if each.name in told})
