"""Server-sent events: pictures while they are drawn, in the shape of OpenAI's image streaming."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any, Literal

from fastapi.responses import StreamingResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from unclip.engine.messages import Pixels, Stepped
from unclip.errors import UnclipError
from unclip.records.jobs import Job
from unclip.server.answering import b64, pictures_of
from unclip.server.errors import ApiError, bad_request
from unclip.server.events import Event, Listener
from unclip.server.service import Service

PING_SECONDS = 15.0
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
Kind = Literal["image_generation", "image_edit"]


def sse(event: str, data: Mapping[str, Any], id: int | None = None) -> str:
    """Return one event as it goes over the wire."""
    numbered = "" if id is None else f"id: {id}\n"
    return f"{numbered}event: {event}\ndata: {json.dumps(data)}\n\n"


async def with_pings(listener: Listener) -> AsyncGenerator[Event | None]:
    """Give a listener's events, and None wherever nothing has happened for a while."""
    hearing = asyncio.ensure_future(anext(listener))
    try:
        while True:
            await asyncio.wait((hearing,), timeout=PING_SECONDS)
            if not hearing.done():
                yield None
                continue
            try:
                event = hearing.result()
            except StopAsyncIteration:
                return
            hearing = asyncio.ensure_future(anext(listener))
            yield event
    finally:
        hearing.cancel()


def stream(service: Service, job: Job, kind: Kind, side: int, partial_images: int) -> StreamingResponse:
    """Answer with a job's pictures as they become clear."""
    listener = service.events.listen(lambda event: event.job == job.id)
    if not service.dispatcher.is_live(job.id):
        listener.close()
    events = _events(service, job, listener, kind, side, partial_images)
    return EventStream(service, listener, events, lambda: service.dispatcher.leave(job))


async def _nothing() -> None:
    pass


class EventStream(StreamingResponse):
    """Server-sent events. At the end the listener is let go, also where the client goes before the first."""

    def __init__(
        self,
        service: Service,
        listener: Listener,
        events: AsyncIterator[str],
        at_end: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        super().__init__(events, media_type="text/event-stream", headers=HEADERS)
        self._service, self._listener, self._at_end = service, listener, at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the client goes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._service.events.leave(self._listener)
            # Shielded: where this is cancelled, the rest must still be done.
            await asyncio.shield(self._at_end())


async def _events(
    service: Service, job: Job, listener: Listener, kind: Kind, side: int, partial_images: int
) -> AsyncIterator[str]:
    try:
        sent = 0
        async for event in with_pings(listener):
            if event is None:
                yield ": ping\n\n"
            elif event.name == "preview" and sent < partial_images and due(event.data, sent, partial_images):
                for place, pixels in enumerate(event.data.previews):
                    shown = await run_in_threadpool(_enlarged, pixels, side)
                    about = {"partial_image_index": sent, "image_index": place}
                    yield _image(job, f"{kind}.partial_image", shown, side, about)
                sent += 1
            elif event.name == "job" and event.data.state not in ("queued", "running"):
                break
        ended = await service.dispatcher.ended(job)
        for place, picture in enumerate(await pictures_of(service, ended)):
            data = await run_in_threadpool(b64, service, picture)
            yield _image(job, f"{kind}.completed", data, side, {"image_index": place, "usage": _NOTHING})
    except ApiError as error:
        yield sse("error", {"type": "error", "error": error.error})
    except UnclipError as error:  # such as a picture that is not in the store any more
        yield sse("error", {"type": "error", "error": bad_request(str(error)).error})


_NOTHING = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


def due(step: Stepped, sent: int, of: int) -> bool:
    """Tell whether a preview is sent: the first at once, the others spread over the decoder's steps."""
    return sent == 0 or not step.stage.startswith("decoder") or step.index * of >= sent * step.num_steps


def _image(job: Job, name: str, b64_json: str, side: int, more: Mapping[str, Any]) -> str:
    data = {
        "type": name,
        "b64_json": b64_json,
        "created_at": int(job.created),
        "size": f"{side}x{side}",
        "quality": "high",
        "background": "opaque",
        "output_format": "png",
        **more,
    }
    return sse(name, data)


def _enlarged(pixels: Pixels, side: int) -> str:
    file = BytesIO()
    image = pixels.image().resize((side, side), Image.Resampling.BILINEAR)
    image.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def preview_jpeg(pixels: Pixels) -> str:
    """Return a preview as a small JPEG, in base64."""
    file = BytesIO()
    pixels.image().save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
