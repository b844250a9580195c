"""Who asks: a key, or, on this machine alone and while there are no keys, anybody."""

import base64
import binascii
import ipaddress
import time
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from unclip.records.keys import Key, Scope
from unclip.server.errors import ApiError
from unclip.server.service import Service, service_of
from unclip.server.settings import LOOPBACK

ANONYMOUS = "anonymous"
_EVERYTHING = frozenset[Scope](("images", "admin"))
_PASSED_ON = ("forwarded", "via", "x-real-ip")  # and X-Forwarded-*: headers that proxies add


@dataclass(frozen=True)
class Principal:
    """Who asks, and what they may."""

    id: str  # a key's, or "anonymous"
    scopes: frozenset[Scope]
    key: Key | None = None

    @property
    def sees(self) -> str | None:
        """Whose jobs and pictures may be read: their own, or everybody's (None)."""
        return None if "admin" in self.scopes else self.id


_BEARER = HTTPBearer(auto_error=False, description="A key of `unclip keys create`.")
Documented = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
"""Says on the OpenAPI page how to send a key; who sends it otherwise is heard as well."""


async def user(request: Request, _: Documented = None) -> Principal:
    """Return who asks for pictures. Raises ApiError for who may not."""
    return await _with_scope(request, "images")


User = Annotated[Principal, Depends(user)]


async def admin(request: Request, _: Documented = None) -> Principal:
    """Return who looks after the server. Raises ApiError for who may not."""
    return await _with_scope(request, "admin")


Admin = Annotated[Principal, Depends(admin)]


async def _with_scope(request: Request, scope: Scope) -> Principal:
    principal = await _principal(request, service_of(request))
    if scope not in principal.scopes and "admin" not in principal.scopes:
        raise ApiError(403, f"This key has no scope '{scope}'.", code="insufficient_permissions")
    return principal


async def _principal(request: Request, service: Service) -> Principal:
    secret = _secret(request)
    key = None if secret is None else await run_in_threadpool(service.keys.find, secret)
    if key is None:
        if not await run_in_threadpool(service.keys.any_live):  # whatever was sent
            return _anonymous(request, service)
        raise _wrong(secret)
    now = time.time()
    if (refusal := key.refusal(now)) is not None:
        raise _unauthorised(f"This API key is not valid any more: {refusal}.", "invalid_api_key")
    await run_in_threadpool(service.keys.touch, key.id, now)
    return Principal(key.id, key.scopes, key)


def _wrong(secret: str | None) -> ApiError:
    if secret is None:
        return _unauthorised(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using"
            " Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            None,
        )
    shown = f"{secret[:3]}***{secret[-4:]}" if len(secret) > 12 else "***"
    return _unauthorised(f"Incorrect API key provided: {shown}.", "invalid_api_key")


def _secret(request: Request) -> str | None:
    """Return the secret of a Bearer header, or the password of a Basic one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _unauthorised(message: str, code: str | None) -> ApiError:
    return ApiError(401, message, code=code, headers={"www-authenticate": "Bearer"})


def _anonymous(request: Request, service: Service) -> Principal:
    """Let in who needs no key: this machine, and no web page from elsewhere through its browser."""
    settings, here = service.settings, _is_here(request)
    if settings.insecure:
        return Principal(ANONYMOUS, _EVERYTHING if here else frozenset[Scope](("images",)))
    if not here:
        raise _unauthorised("Without keys only this machine is served: make one with `unclip keys`.", None)
    allowed = {_host(origin) for origin in (*settings.cors, settings.public_url or "")} - {""}
    for header in ("host", "origin"):
        value = request.headers.get(header)
        if value is None:
            continue
        name = _host(value)
        if not _is_loopback(name) and name not in allowed:
            raise ApiError(403, f"Without keys, {header} must be of this machine, not {name!r}.")
    return Principal(ANONYMOUS, _EVERYTHING)


def _is_here(request: Request) -> bool:
    """Tell whether a request is this machine's own, and no other's that a proxy here passes on."""
    passed_on = any(name.startswith("x-forwarded-") or name in _PASSED_ON for name in request.headers)
    return request.client is not None and _is_loopback(request.client.host) and not passed_on


def _host(value: str) -> str:
    """Return the name in a Host or Origin header; "" if it is none."""
    try:
        return urlsplit(value if "//" in value else f"//{value}").hostname or ""
    except ValueError:  # such as half of an IPv6 address
        return ""


def _is_loopback(name: str) -> bool:
    if name in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
