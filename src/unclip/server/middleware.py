"""What surrounds every request: an id, limits on what is read, headers, a line in the log, counts."""

import logging
import re
import secrets
import time
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unclip.server.errors import ApiError, bad_request, internal
from unclip.server.metrics import Metrics

log = logging.getLogger("unclip.access")

JSON_BYTES = 2**20
FORM_BYTES = 2 * 4 * 2**20 + 2**20  # two pictures and the rest
GONE = 499  # nginx's word for a client that has left before its answer
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "cross-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
# The page of the API, from this server alone; it begins with a script of its own within.
_DOCS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none';"
    " script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
}


class Surroundings:
    """Wraps the application, in ASGI's own terms: a client that goes is seen by who waits for it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, headers = time.perf_counter(), dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        id = given if _ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"
        status = GONE  # unless an answer begins

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                spent = str(round(1000 * (time.perf_counter() - began)))
                security = _SECURITY | (_DOCS if scope["path"] == "/docs" else {})
                _add(message, {**security, **_OPENAI, "x-request-id": id, "openai-processing-ms": spent})
            await send(message)

        scope.setdefault("state", {})["request_id"] = id
        try:
            if (refusal := _refusal(scope, headers)) is not None:
                await refusal.response()(scope, receive, sending)
                return
            await self._app(scope, _bounded(scope, receive, headers), sending)
        except Exception as error:  # here, since what answers further out knows no id
            if status != GONE:
                raise
            logging.getLogger("unclip.server").error("a request broke", exc_info=error)
            await internal().response()(scope, receive, sending)
        finally:
            self._account(scope, status, time.perf_counter() - began, id)

    def _account(self, scope: Scope, status: int, seconds: float, id: str) -> None:
        route = _route(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"  # a client can make up any
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        path = quote(scope["path"], safe="/:@")  # one line of the log, whatever it holds
        facts = {"request_id": id, "method": scope["method"], "path": path, "status": status}
        facts["milliseconds"] = round(1000 * seconds)
        log.info("%(method)s %(path)s %(status)s %(milliseconds)s ms", facts, extra={"facts": facts})


def _route(scope: Scope) -> str:
    """Return the template of a path, with the prefix that its router was included under."""
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return "other"
    whole, own = scope["path"].split("/"), template.split("/")
    return "/".join(whole[: len(whole) - len(own) + 1]) + template


_OPENAI = {"openai-version": "2020-10-01"}


def _add(message: MutableMapping[str, Any], headers: Mapping[str, str]) -> None:
    """Add headers, but those that the answer has itself."""
    own = {name.lower() for name, _ in message.get("headers", [])}
    more = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    message["headers"] = [*message.get("headers", []), *(pair for pair in more if pair[0] not in own)]


def _refusal(scope: Scope, headers: Mapping[bytes, bytes]) -> ApiError | None:
    """Refuse an address that no part of the server can answer to; PostgreSQL's texts can have no NUL."""
    host = headers.get(b"host", b"").decode("latin-1")
    if host and not HOST.fullmatch(host):
        return bad_request("The header Host names no host.", "invalid_host")
    if "\0" in scope["path"]:
        return ApiError(404, "There is nothing at an address with a NUL.", code="unknown_url")
    if b"%00" in scope["query_string"]:
        return bad_request("A parameter can have no NUL.", "invalid_value")
    return None


def _bounded(scope: Scope, receive: Receive, headers: Mapping[bytes, bytes]) -> Receive:
    """Read no more than a request of its kind can need, whatever length it says that it has."""
    is_json = headers.get(b"content-type", b"").lower().startswith(b"application/json")
    most = JSON_BYTES if is_json else most_bytes(scope["path"])
    declared = headers.get(b"content-length", b"0")
    read = int(declared) if declared.isdigit() and len(declared) < 16 else most + 1
    refused, read = read > most, 0

    async def receiving() -> Message:
        nonlocal read
        if refused:
            raise _too_large(most)
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise _too_large(most)
        return message

    return receiving


def most_bytes(path: str) -> int:
    """Return how much a body may have that is not JSON: a picture for the native API, or a form."""
    return 32 * 2**20 if path.startswith("/api/images") else FORM_BYTES


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"The request body is larger than {most} bytes.", headers={"connection": "close"})
