"""The same client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any

import httpx

from unclip.client import answers, calls
from unclip.client.answers import ApiError, Image, Job, Partial, Picture
from unclip.client.calls import Call, ImageFile, Size
from unclip.client.sse import Event, EventReader
from unclip.errors import RequestError


class AsyncClient:
    """As `Client`, its methods coroutines. Use `contextlib.aclosing` around a stream that is left early."""

    def __init__(
        self,
        base_url: str = calls.BASE_URL,
        api_key: str | None = None,
        timeout: float = 600.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self._http = httpx.AsyncClient(transport=transport, **calls.connection(base_url, api_key, timeout))

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(self, prompt: str, *, n: int = 1, size: Size = None, **settings: Any) -> list[Picture]:
        """Draw pictures of a sentence: see `Client.generate`."""
        return answers.pictures(await self._send(calls.generation(prompt, n, size, settings)))

    async def edit(
        self,
        image: ImageFile,
        prompt: str,
        *,
        mask: ImageFile | None = None,
        n: int = 1,
        size: Size = None,
        **settings: Any,
    ) -> list[Picture]:
        """Paint the hole of a picture as a sentence says: see `Client.edit`."""
        return answers.pictures(await self._send(calls.edit(image, prompt, mask, n, size, settings)))

    async def vary(
        self, image: ImageFile, *, n: int = 1, size: Size = None, **settings: Any
    ) -> list[Picture]:
        """Draw pictures like a given one: see `Client.vary`."""
        return answers.pictures(await self._send(calls.variations(image, n, size, settings)))

    async def stream(
        self, prompt: str, *, n: int = 1, size: Size = None, partial_images: int = 2, **settings: Any
    ) -> AsyncGenerator[Partial | Picture, None]:
        """Draw pictures of a sentence and show each while it is drawn: see `Client.stream`."""
        settings |= {"stream": True, "partial_images": partial_images}
        async with aclosing(self._events(calls.generation(prompt, n, size, settings))) as events:
            async for event in events:
                if event != calls.OPENED:
                    yield answers.drawn(event)

    async def submit(self, task: str, **settings: Any) -> Job:
        """Put a job into the queue: see `Client.submit`."""
        return answers.job(await self._send(calls.submission(task, settings)))

    async def job(self, id: str) -> Job:
        """Ask how a job is doing."""
        return answers.job(await self._send(Call("GET", f"/api/jobs/{id}")))

    async def cancel(self, id: str) -> Job:
        """Stop a job, or take it out of the queue."""
        return answers.job(await self._send(Call("DELETE", f"/api/jobs/{id}")))

    async def wait(self, id: str, on_event: Callable[[Event], object] | None = None) -> Job:
        """Return a job when it has ended: see `Client.wait`. `on_event` is a plain function."""
        last = None
        while True:
            async with aclosing(self._heard(last)) as events:
                async for event in events:
                    last = event.id or last
                    if on_event is not None and event.about(id):
                        on_event(event)
                    if calls.may_have_ended(event, id) and (found := await self.job(id)).ended:
                        return found
            if (found := await self.job(id)).ended:  # events broke off, or do not come at all
                return found
            await asyncio.sleep(calls.POLL)

    def events(self, last_event_id: str | None = None) -> AsyncGenerator[Event, None]:
        """Yield what happens to your jobs: see `Client.events`."""
        return self._events(calls.events(last_event_id))

    async def upload(self, image: ImageFile) -> Image:
        """Give the server a picture to keep, so that jobs can use it."""
        return answers.image(await self._send(calls.upload(image)))

    async def images(self, **filters: Any) -> AsyncGenerator[Image, None]:
        """Yield the pictures that the server keeps, newest first: see `Client.images`."""
        more: str | None = ""
        while more is not None:
            images, more = answers.page(await self._send(calls.listing(filters)))
            for image in images:
                yield image
            filters["before"] = more

    async def content(self, id: str) -> bytes:
        """Return the file of a picture that the server keeps."""
        return (await self._send(Call("GET", f"/api/images/{id}/content"))).content

    async def models(self) -> list[str]:
        """Return the names of the server's models."""
        return answers.names(await self._send(Call("GET", "/v1/models")))

    async def usage(self) -> dict[str, Any]:
        """Return what the key may still ask for."""
        return answers.body(await self._send(Call("GET", "/api/usage")))

    async def _send(self, call: Call, stream: bool = False) -> httpx.Response:
        request, attempt = call.request(self._http), 0
        while (seconds := calls.pause(outcome := await self._try(request, stream), attempt)) is not None:
            await asyncio.sleep(seconds)
            attempt += 1
        return calls.checked(outcome)

    async def _try(self, request: httpx.Request, stream: bool) -> httpx.Response | httpx.TransportError:
        try:
            response = await self._http.send(request, stream=stream)
            if not response.is_success:
                await response.aread()  # why; a stream is closed with it
            return response
        except httpx.TransportError as error:
            return error

    async def _events(self, call: Call) -> AsyncGenerator[Event, None]:
        reader = EventReader()
        async with aclosing(await self._send(call, stream=True)) as response:
            with calls.explained():
                yield calls.OPENED
                async for piece in response.aiter_bytes():
                    for event in reader.feed(piece):
                        yield event

    async def _heard(self, last_event_id: str | None) -> AsyncGenerator[Event, None]:
        """Yield events until they break off, for whatever reason."""
        with suppress(ApiError, RequestError):
            async with aclosing(self.events(last_event_id)) as events:
                async for event in events:
                    yield event
