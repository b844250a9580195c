import asyncio
import threading
import time
import weakref

import pytest
from PIL import Image

from unclip.errors import RequestError
from unclip.server.decoding import AT_ONCE, Decoding
from unclip.server.errors import ApiError, bad_request


def do(*work: object) -> list[object]:
    """Do it all at once, and return what comes of each."""

    async def all_of_it() -> list[object]:
        decoding = Decoding()
        return await asyncio.gather(*(decoding.do(*one) for one in work), return_exceptions=True)

    return asyncio.run(all_of_it())


def test_what_comes_of_it_is_returned() -> None:
    assert do((pow, 2, 5), (len, "abc")) == [32, 3]


def test_few_are_at_work_at_once() -> None:
    lock, now, most = threading.Lock(), [], []

    def work() -> None:
        with lock:
            now.append(None)
            most.append(len(now))
        time.sleep(0.02)
        with lock:
            now.pop()

    do(*[(work,)] * 8)
    assert max(most) == AT_ONCE
    assert len(most) == 8


def test_an_error_keeps_no_picture() -> None:
    pictures: list[weakref.ref[Image.Image]] = []

    def work() -> None:
        picture = Image.new("RGB", (8, 8))
        pictures.append(weakref.ref(picture))
        try:
            raise ValueError("as Pillow's decoders do")
        except ValueError as error:
            raise bad_request("no picture", param="image") from error

    (error,) = do((work,))
    assert isinstance(error, ApiError)
    assert (error.status, error.error["param"]) == (400, "image")
    assert pictures[0]() is None


@pytest.mark.parametrize("error", [RequestError("a"), OSError("a")])
def test_other_errors_are_raised_as_they_are(error: Exception) -> None:
    def work() -> None:
        raise error

    assert do((work,)) == [error]
    assert error.__traceback__ is not None


def test_who_fails_makes_room() -> None:
    def work() -> None:
        raise bad_request("no picture")

    assert [type(one) for one in do(*[(work,)] * 6)] == [ApiError] * 6
