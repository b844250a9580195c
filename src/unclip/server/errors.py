"""Errors on the wire: always {"error": {"message", "type", "param", "code"}}, as OpenAI's API answers."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from unclip.errors import UnclipError


class ApiError(Exception):
    """An answer that is no success. `param` is the parameter at fault, `code` what programs look at."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, str | None] = {"message": message, "type": type, "param": param, "code": code}
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ApiError":
        """Return the error that a job ended with."""
        rest = {name: stored.get(name) for name in ("code", "param")}
        headers = {"x-should-retry": "false"}  # it would end the same way
        return cls(stored["status"], stored["message"], type=stored["type"], headers=headers, **rest)

    def stored(self) -> dict[str, Any]:
        """Return what `of` takes."""
        return {"status": self.status, **self.error}

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse({"error": self.error}, self.status, self.headers)


class Error(BaseModel):
    """Why a request was refused. Programs look at `code`; `param` is the parameter at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success."""

    error: Error


_REFUSALS = {
    400: "It cannot be done as asked, or is not allowed.",
    401: "There is no key, or it is not valid.",
    403: "This key, or this link, does not open it.",
    404: "There is none.",
    413: "The body is too large.",
    429: "More than the key may have now, or this month.",
    503: "Ask again, after as many seconds as retry-after says.",
    "4XX": "Any other refusal.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description} for status, description in _REFUSALS.items()
}
"""What every endpoint may answer, for the OpenAPI page."""


class ClientGoneError(Exception):
    """The client has closed the connection: there is nobody to answer."""


def bad_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """Return a 400: it cannot be done as asked."""
    return ApiError(400, message, code=code, param=param)


def policy_violation(of: str = "prompt") -> ApiError:
    """Return what the DALL-E 2 API answered to what it would not draw."""
    what = {
        "prompt": " Your prompt may contain text that is not allowed by our safety system.",
        "image": " Your image may contain content that is not allowed by our safety system.",
    }
    message = f"Your request was rejected as a result of our safety system.{what[of]}"
    return bad_request(message, "content_policy_violation")


def overloaded(message: str, retry_after: int) -> ApiError:
    """Return a 503: to be asked again in so many seconds."""
    headers = {"retry-after": str(retry_after), "x-should-retry": "true"}
    return ApiError(503, message, type="server_error", code="overloaded", headers=headers)


def internal(message: str = "The server had an error while processing your request.") -> ApiError:
    """Return a 500."""
    return ApiError(500, message, type="server_error", headers={"x-should-retry": "false"})


_CODES = {404: "unknown_url", 405: "method_not_supported"}


def _http(request: Request, error: HTTPException) -> ApiError:
    path, method = request.url.path, request.method
    messages = {
        404: f"Unknown request URL: {method} {path}. Please check the URL for typos.",
        405: f"Not allowed to {method} on {path}",
    }
    message, headers = messages.get(error.status_code, str(error.detail)), error.headers
    if error.status_code == 405:
        headers = {"allow": ", ".join(_allowed(request))}
    return ApiError(error.status_code, message, code=_CODES.get(error.status_code), headers=headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path: each has a route of its own, of which FastAPI names the first alone."""
    routes = request.app.router.routes

    def is_there(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return list(filter(is_there, ("GET", "POST", "PUT", "PATCH", "DELETE")))


def install(app: FastAPI) -> None:
    """Have the application answer every error in this shape; what breaks, the middleware answers."""

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return _http(request, error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"][1:]) or None
        return bad_request(f"{first['msg']}: {param}", "invalid_value", param).response()

    @app.exception_handler(UnclipError)
    async def cannot(_: Request, error: UnclipError) -> JSONResponse:
        return bad_request(str(error)).response()

    @app.exception_handler(ClientGoneError)
    @app.exception_handler(ClientDisconnect)  # while its request was read
    async def gone(_: Request, error: Exception) -> Response:
        del error
        return Response(status_code=499)  # as nginx writes it into its log

    del api_error, http_error, invalid, cannot, gone
