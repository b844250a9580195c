"""One stream of what happens to the caller's jobs: their states, their steps, and pictures as they clear."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from unclip.server.auth import User
from unclip.server.errors import REFUSALS
from unclip.server.events import Event, Listener
from unclip.server.native.answers import job_of
from unclip.server.service import Service, service_of
from unclip.server.streaming import EventStream, preview_jpeg, sse, with_pings

router = APIRouter(prefix="/events", tags=["jobs"])

LastEventId = Annotated[
    str | None, Query(max_length=32, description="As the header Last-Event-ID, which goes before it.")
]
LastEventHeader = Annotated[
    str | None, Header(alias="Last-Event-ID", description="The id of the last event that was heard.")
]
_STREAM: dict[str, Any] = {
    "description": "Events `job` (a Job), `step` (job, stage, index, num_steps), `preview` (job, index,"
    " image: a JPEG in base64), and `reset` where some were missed.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.get("", response_class=StreamingResponse, responses={200: _STREAM, **REFUSALS})
async def listen(
    request: Request,
    principal: User,
    last_event_id: LastEventId = None,
    last_event_header: LastEventHeader = None,
) -> StreamingResponse:
    """Listen to what happens to your jobs, from now on or from after an event."""
    after = _number(last_event_header or last_event_id)
    service = service_of(request)
    listener = service.events.listen(lambda event: event.owner == principal.id, after)
    return EventStream(service, listener, _told(service, request, listener))


def _number(id: str | None) -> int | None:
    """Return an event's id; 0, which is before all, for what is none."""
    if id is None:
        return None
    return int(id) if id.isascii() and id.isdigit() and len(id) < 32 else 0


async def _told(service: Service, request: Request, listener: Listener) -> AsyncIterator[str]:
    async with aclosing(with_pings(listener)) as events:
        async for event in events:
            if event is None:
                yield ": ping\n\n"
                continue
            for data in await _data(service, request, event):
                yield sse(event.name, data, event.id)


async def _data(service: Service, request: Request, event: Event) -> list[dict[str, Any]]:
    """Return what is told of an event; a step's pictures are told one by one."""
    match event.name:
        case "job":
            return [(await job_of(service, request, event.data)).model_dump(mode="json")]
        case "step":
            step = event.data
            return [{"job": step.job, "stage": step.stage, "index": step.index, "num_steps": step.num_steps}]
        case "preview":
            shown = await run_in_threadpool(lambda: list(map(preview_jpeg, event.data.previews)))
            return [{"job": event.job, "index": k, "image": image} for k, image in enumerate(shown)]
        case "reset":
            return [{}]
