"""Work with decoded pictures, of which a server has few at once: a file can be a thousandth of its pixels."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from unclip.server.errors import ApiError

T = TypeVar("T")

AT_ONCE = 2  # one of 4096 pixels a side takes 200 MB


class Decoding:
    """Does such work in threads, in turn."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def do(self, work: Callable[..., T], *given: object) -> T:
        """Do something, and return what it returns."""
        async with self._turns:
            try:
                return await run_in_threadpool(work, *given)
            except ApiError as error:
                # Else the error would keep the pictures of all the frames that it came through.
                error.__context__ = None
                raise error.with_traceback(None) from None
