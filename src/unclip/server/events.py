"""What happens to jobs, as it happens: told to whoever listens, and again to who has missed a little."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

KEPT = 1000  # events that can be told again; previews are not
BEHIND = 500  # events that a listener may be behind before it misses some

Name = Literal["job", "step", "preview", "reset"]


@dataclass(frozen=True)
class Event:
    """One thing that has happened to a job. Ids rise."""

    id: int
    name: Name
    owner: str
    job: str
    data: Any  # a Job, or an engine's message


class Listener:
    """Hears the events that `wants` says; iterate over it."""

    def __init__(self, wants: Callable[[Event], bool]) -> None:
        self.wants = wants
        self._events: deque[Event] = deque()
        self._more = asyncio.Event()
        self._open = True

    def hear(self, event: Event) -> None:
        """Take an event. Who is too far behind is told `reset` in place of what is lost.

        A preview takes the place of one of the same job that was not told yet.
        """
        if event.name == "preview":
            self._events = deque(other for other in self._events if not _is_older(other, event))
        if len(self._events) >= BEHIND:
            self._events.clear()
            self._events.append(Event(event.id - 1, "reset", event.owner, "", None))
        self._events.append(event)
        self._more.set()

    def close(self) -> None:
        """End the iteration, once all is told."""
        self._open = False
        self._more.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if not self._open:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._events.popleft()


def _is_older(preview: Event, newer: Event) -> bool:
    return preview.name == "preview" and preview.job == newer.job


class Events:
    """Tells events to listeners, in one asyncio loop. A process begins above the ids of any before."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._kept = deque[Event](maxlen=KEPT)
        self._listeners = set[Listener]()
        self._open = True

    def publish(self, name: Name, owner: str, job: str, data: Any) -> None:
        """Tell an event to all who want it."""
        event = Event(self._next, name, owner, job, data)
        self._next += 1
        if name != "preview":
            self._kept.append(event)
        for listener in self._listeners:
            if listener.wants(event):
                listener.hear(event)

    def listen(self, wants: Callable[[Event], bool], after: int | None = None) -> Listener:
        """Begin to listen; `after` is the id of the last event that was heard before."""
        listener = Listener(wants)
        if after is not None and after != self._next - 1:
            missed = [event for event in self._kept if event.id > after]
            if not self._kept or not self._kept[0].id - 1 <= after < self._next:
                before = missed[0].id if missed else self._next
                listener.hear(Event(before - 1, "reset", "", "", None))
            for event in missed:
                if wants(event):
                    listener.hear(event)
        self._listeners.add(listener)
        if not self._open:
            listener.close()
        return listener

    def leave(self, listener: Listener) -> None:
        """End listening."""
        self._listeners.discard(listener)

    def close(self) -> None:
        """End all listening, as the server does."""
        self._open = False
        for listener in self._listeners:
            listener.close()
