"""Server-sent events, put together from the bytes of an answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """What the server tells while it works."""

    name: str  # "job", "step", "preview" or "reset"
    data: dict[str, Any]
    id: str | None = None  # with it, `Client.events` goes on after this event

    def about(self, job: str) -> bool:
        """Tell whether the event is one of that job."""
        return job == (self.data.get("id") if self.name == "job" else self.data.get("job"))


class EventReader:
    """Reads events in whatever pieces they come. Source: WHATWG HTML, section 9.2.6.

    Lines end with a line feed alone: a prompt within the data may hold what Unicode calls a line separator.
    """

    def __init__(self):
        self._rest = b""
        self._fields: list[tuple[str, str]] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that this piece completes; comments, such as a server's pings, are none."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").decode().partition(":")
            if name or value:
                self._fields.append((name, value.removeprefix(" ")))
            elif (event := self._completed()) is not None:
                yield event

    def _completed(self) -> Event | None:
        fields, self._fields = self._fields, []
        lines = [value for name, value in fields if name == "data"]
        last = dict(fields)
        return (
            Event(last.get("event", "message"), json.loads("\n".join(lines)), last.get("id"))
            if lines
            else None
        )
