"""The client as one calls it."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from types import TracebackType
from typing import Any

import httpx

from unclip.client import answers, calls
from unclip.client.answers import ApiError, Image, Job, Partial, Picture
from unclip.client.calls import Call, ImageFile, Size
from unclip.client.sse import Event, EventReader
from unclip.errors import RequestError


class Client:
    """A connection to `unclip serve`.

    `api_key` None: the environment's UNCLIP_API_KEY, if there is one. `timeout`: seconds in which nothing is
    heard. A call is sent again, twice at most, if the connection fails, or if the server is busy and says
    when to come back; the server knows it for the same call, and draws once.

    Every method raises ApiError if the server refuses, RequestError if it cannot be reached, and DataError
    for a picture file that cannot be read.
    """

    def __init__(
        self,
        base_url: str = calls.BASE_URL,
        api_key: str | None = None,
        timeout: float = 600.0,
        transport: httpx.BaseTransport | None = None,
    ):
        self._http = httpx.Client(transport=transport, **calls.connection(base_url, api_key, timeout))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(self, prompt: str, *, n: int = 1, size: Size = None, **settings: Any) -> list[Picture]:
        """Draw pictures of a sentence; `settings` are further fields of the request, such as `user`."""
        return answers.pictures(self._send(calls.generation(prompt, n, size, settings)))

    def edit(
        self,
        image: ImageFile,
        prompt: str,
        *,
        mask: ImageFile | None = None,
        n: int = 1,
        size: Size = None,
        **settings: Any,
    ) -> list[Picture]:
        """Paint a picture's hole as a sentence says: where the mask, or the picture itself, has alpha 0."""
        return answers.pictures(self._send(calls.edit(image, prompt, mask, n, size, settings)))

    def vary(self, image: ImageFile, *, n: int = 1, size: Size = None, **settings: Any) -> list[Picture]:
        """Draw pictures like a given one."""
        return answers.pictures(self._send(calls.variations(image, n, size, settings)))

    def stream(
        self, prompt: str, *, n: int = 1, size: Size = None, partial_images: int = 2, **settings: Any
    ) -> Generator[Partial | Picture, None, None]:
        """Draw pictures of a sentence and show each while it is drawn; closing the stream cancels the rest.

        `partial_images` of 0 to 3 are shown of each picture before it is finished.
        """
        settings |= {"stream": True, "partial_images": partial_images}
        for event in self._events(calls.generation(prompt, n, size, settings)):
            if event != calls.OPENED:
                yield answers.drawn(event)

    def submit(self, task: str, **settings: Any) -> Job:
        """Put a job into the queue: a task with its fields, pictures as `Image` or by id."""
        return answers.job(self._send(calls.submission(task, settings)))

    def job(self, id: str) -> Job:
        """Ask how a job is doing."""
        return answers.job(self._send(Call("GET", f"/api/jobs/{id}")))

    def cancel(self, id: str) -> Job:
        """Stop a job, or take it out of the queue."""
        return answers.job(self._send(Call("DELETE", f"/api/jobs/{id}")))

    def wait(self, id: str, on_event: Callable[[Event], object] | None = None) -> Job:
        """Return a job when it has ended, well or not; until then `on_event` is called with its events."""
        last = None
        while True:
            with closing(self._heard(last)) as events:
                for event in events:
                    last = event.id or last
                    if on_event is not None and event.about(id):
                        on_event(event)
                    if calls.may_have_ended(event, id) and (found := self.job(id)).ended:
                        return found
            if (found := self.job(id)).ended:  # events broke off, or do not come at all
                return found
            time.sleep(calls.POLL)

    def events(self, last_event_id: str | None = None) -> Generator[Event, None, None]:
        """Yield what happens to your jobs, from now or from after an event, until the server stops.

        The first, `open`, says that the server listens: from then on nothing goes unheard.
        """
        yield from self._events(calls.events(last_event_id))

    def upload(self, image: ImageFile) -> Image:
        """Give the server a picture to keep, so that jobs can use it."""
        return answers.image(self._send(calls.upload(image)))

    def images(self, **filters: Any) -> Iterator[Image]:
        """Yield the pictures that the server keeps, newest first.

        `filters`: search, favourite, collection, parent, uploads; `limit` is how many are asked for at once.
        """
        more: str | None = ""
        while more is not None:
            images, more = answers.page(self._send(calls.listing(filters)))
            yield from images
            filters["before"] = more

    def content(self, id: str) -> bytes:
        """Return the file of a picture that the server keeps."""
        return self._send(Call("GET", f"/api/images/{id}/content")).content

    def models(self) -> list[str]:
        """Return the names of the server's models."""
        return answers.names(self._send(Call("GET", "/v1/models")))

    def usage(self) -> dict[str, Any]:
        """Return what the key may still ask for."""
        return answers.body(self._send(Call("GET", "/api/usage")))

    def _send(self, call: Call, stream: bool = False) -> httpx.Response:
        request, attempt = call.request(self._http), 0
        while (seconds := calls.pause(outcome := self._try(request, stream), attempt)) is not None:
            time.sleep(seconds)
            attempt += 1
        return calls.checked(outcome)

    def _try(self, request: httpx.Request, stream: bool) -> httpx.Response | httpx.TransportError:
        try:
            response = self._http.send(request, stream=stream)
            if not response.is_success:
                response.read()  # why; a stream is closed with it
            return response
        except httpx.TransportError as error:
            return error

    def _events(self, call: Call) -> Generator[Event, None, None]:
        reader = EventReader()
        with closing(self._send(call, stream=True)) as response, calls.explained():
            yield calls.OPENED
            for piece in response.iter_bytes():
                yield from reader.feed(piece)

    def _heard(self, last_event_id: str | None) -> Generator[Event, None, None]:
        """Yield events until they break off, for whatever reason."""
        with suppress(ApiError, RequestError):
            yield from self.events(last_event_id)
