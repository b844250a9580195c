"""A moderator of the operator's own, asked over HTTP in the shape of OpenAI's /v1/moderations."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from functools import cache
from typing import Any

from unclip.errors import RequestError

TIMEOUT = 5.0  # seconds, from the connection to the last byte of the answer


class ModerationUnavailable(Exception):  # noqa: N818
    """The moderator did not answer as it must, so that nobody knows whether a text may pass: status 503.

    No fault of who asked, hence no UnclipError.
    """


def check_url(url: str) -> str:
    """Return the address of a moderator. Raises RequestError for one that is no HTTP address."""
    import httpx

    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _no_url(url) from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise _no_url(url)
    return url


def _no_url(url: str) -> RequestError:
    return RequestError(
        f"moderation URL {url!r} is no HTTP address: give one as http://127.0.0.1:9000/v1/moderations"
    )


async def ask(
    url: str, text: str, key: str | None = None, model: str | None = None, timeout: float = TIMEOUT
) -> list[str]:
    """Return the categories that the moderator at `url` flags in a text, sorted: none if it may pass.

    The key is sent as a bearer. Redirects are not followed: they would take text and key elsewhere. Raises
    ModerationUnavailable if there is no usable answer within the time. Its message holds neither of them.
    """
    import httpx

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = json.dumps({"input": text} | ({"model": model} if model else {}))  # ASCII, whatever the text holds
    try:
        async with (
            asyncio.timeout(timeout),
            httpx.AsyncClient(verify=_trust(), timeout=timeout, follow_redirects=False) as client,
        ):
            answer = await client.post(url, content=body, headers=headers)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise _unavailable(f"did not answer within {timeout:g} s") from error
    except httpx.HTTPError as error:
        raise _unavailable(f"cannot be reached ({type(error).__name__})") from error
    if answer.status_code != 200:
        raise _unavailable(f"answered with status {answer.status_code}, not 200")
    return sorted(set(_flagged(answer)))


def _flagged(answer: Any) -> Iterator[str]:
    try:
        results = answer.json()["results"]
        if not results:
            raise ValueError("no results")
        for result in results:
            if _boolean(result["flagged"]):
                names = [name for name, flagged in result.get("categories", {}).items() if _boolean(flagged)]
                yield from names or ["flagged"]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unavailable("answered in another shape than /v1/moderations") from error


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _unavailable(what: str) -> ModerationUnavailable:
    return ModerationUnavailable(f"the moderator {what}: see that it runs and speaks /v1/moderations")


@cache
def _trust() -> ssl.SSLContext:
    """The authorities that are trusted: read once, since it takes a tenth of a second."""
    import httpx

    return httpx.create_ssl_context()
