"""A client that asks again as OpenAI's does, but for longer, and never under another Idempotency-Key."""

import base64
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import httpx

Leaves = Literal["never", "and comes back", "for good"]
PATIENCE_SECONDS = 60.0
Digests = tuple[str, ...]  # of the pictures of one answer


@dataclass(frozen=True)
class Wish:
    """One request of a user, however often it is sent."""

    name: str  # its Idempotency-Key, and its end user
    path: str
    fields: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    leaves: Leaves = "never"

    @property
    def streamed(self) -> bool:
        return bool(self.fields.get("stream"))

    def body(self, **more: Any) -> dict[str, Any]:
        """What httpx sends."""
        fields = {"size": "256x256", "response_format": "b64_json", "user": self.name, **self.fields, **more}
        if not self.files:
            return {"json": fields}
        texts = {name: json.dumps(value).strip('"') for name, value in fields.items()}
        return {"data": texts, "files": {name: (f"{name}.png", data) for name, data in self.files.items()}}


@dataclass(frozen=True)
class Answered:
    """How an answer ended: with pictures, or with an error and whether to ask again."""

    pictures: Digests = ()
    error: Mapping[str, Any] | None = None
    again_in: float | None = None  # seconds; None: asking again is of no use


@dataclass
class Outcome:
    """What a client has seen of a wish."""

    wish: Wish
    last: Answered | None = None  # None: it left
    seen: set[Digests] = field(default_factory=set[Digests])  # different answers with pictures
    tries: int = 0


def insist(client: httpx.Client, wish: Wish, chance: random.Random) -> Outcome:
    """Ask until there is an answer that asking again would not change, or leave as the wish says."""
    outcome, until = Outcome(wish), time.monotonic() + PATIENCE_SECONDS
    patience = None if wish.leaves == "never" else chance.uniform(0.0, 0.4)
    while time.monotonic() < until:
        outcome.tries += 1
        try:
            outcome.last = ask(client, wish, patience)
        except httpx.ReadTimeout:
            patience = None
            if wish.leaves == "for good":
                return outcome
            continue
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if outcome.last.pictures:
            outcome.seen.add(outcome.last.pictures)
        if outcome.last.again_in is None:
            return outcome
        time.sleep(min(outcome.last.again_in, 1.0))
    raise TimeoutError(f"{wish.name}: {outcome.last} after {outcome.tries} tries")


def ask(client: httpx.Client, wish: Wish, patience: float | None = None, **more: Any) -> Answered:
    """Ask once. Raises httpx's errors where no whole answer comes, or none within so many seconds."""
    timeout = httpx.Timeout(PATIENCE_SECONDS, read=PATIENCE_SECONDS if patience is None else patience)
    headers = {"idempotency-key": wish.name}
    with client.stream("POST", wish.path, headers=headers, timeout=timeout, **wish.body(**more)) as response:
        if response.headers["content-type"].startswith("text/event-stream"):
            return _streamed(response)
        body = json.loads(response.read())
    if response.status_code == 200:
        return Answered(tuple(_digest(picture["b64_json"]) for picture in body["data"]))
    return Answered(error=body["error"], again_in=_again_in(response))


def _streamed(response: httpx.Response) -> Answered:
    pictures = dict[int, str]()
    for event in _events(response.iter_lines()):
        if error := event.get("error"):
            return Answered(error=error, again_in=0.2 if error["code"] == "overloaded" else None)
        if event["type"].endswith(".completed"):
            pictures[event["image_index"]] = _digest(event["b64_json"])
    if not pictures:
        raise httpx.RemoteProtocolError("the stream has ended without a picture")
    return Answered(tuple(pictures[k] for k in sorted(pictures)))


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def _again_in(response: httpx.Response) -> float | None:
    """As the official clients decide it."""
    said = response.headers.get("x-should-retry")
    retried = response.status_code in (408, 409, 429) or response.status_code >= 500
    if said == "false" or (said is None and not retried):
        return None
    return float(response.headers.get("retry-after", "0.2"))


def _digest(b64_json: str) -> str:
    return sha256(base64.b64decode(b64_json, validate=True)).hexdigest()
