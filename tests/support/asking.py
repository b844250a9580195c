"""One way to ask with the client that waits and with the one for asyncio, so that one test holds for both."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx

from unclip.client import AsyncClient, Client

Handler = Callable[[httpx.Request], httpx.Response]


@dataclass
class Ask:
    """Calls a method of a client of one kind, and returns what comes, as a list if it comes bit by bit."""

    kind: type[Client] | type[AsyncClient]
    settings: dict[str, Any] = field(default_factory=dict)

    def __call__(self, method: str, *args: Any, first: int | None = None, **kwargs: Any) -> Any:
        if self.kind is AsyncClient:
            return asyncio.run(self._later(method, first, args, kwargs))
        with Client(**self.settings) as client:
            came = getattr(client, method)(*args, **kwargs)
            return list(islice(came, first)) if inspect.isgenerator(came) else came

    async def _later(self, method: str, first: int | None, args: Any, kwargs: Any) -> Any:
        async with AsyncClient(**self.settings) as client:
            came = getattr(client, method)(*args, **kwargs)
            if not inspect.isasyncgen(came):
                return await came
            found: list[Any] = []
            async with aclosing(came):
                async for item in came:
                    found.append(item)
                    if len(found) == first:
                        break
            return found

    def answered_by(self, handler: Handler) -> "Ask":
        return Ask(self.kind, {**self.settings, "transport": httpx.MockTransport(handler)})
