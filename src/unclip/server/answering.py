"""From a job in the queue to the answer that a client waits for."""

import asyncio
import base64
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from unclip.records.jobs import Job
from unclip.records.pictures import Picture
from unclip.server.accepting import rate_headers
from unclip.server.auth import Principal
from unclip.server.errors import ApiError, ClientGoneError, internal
from unclip.server.middleware import HOST
from unclip.server.service import Service

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do something while the client waits. Raises ClientGoneError, and leaves off, when it does not."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGoneError
    finally:
        for one in (task, gone):
            one.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def done(service: Service, request: Request, job: Job) -> Sequence[Picture]:
    """Wait for a job and return its pictures. Raises ApiError if it ends otherwise."""
    try:
        ended = await unless_gone(request, service.dispatcher.ended(job))
    finally:
        await service.dispatcher.leave(job)
    return await pictures_of(service, ended)


async def pictures_of(service: Service, ended: Job) -> Sequence[Picture]:
    """Return the pictures of a job that has ended. Raises ApiError if it has none."""
    if ended.state == "done":
        return await run_in_threadpool(service.gallery.of_job, ended.id)
    if ended.error is not None:
        raise ApiError.of(ended.error)
    raise ApiError(409, "The job was cancelled.", code="cancelled", headers={"x-should-retry": "false"})


async def answer(
    service: Service,
    principal: Principal,
    request: Request,
    job: Job,
    response_format: Literal["url", "b64_json"],
) -> JSONResponse:
    """Wait for a job, and answer with links to its pictures or with the pictures themselves."""
    pictures = await done(service, request, job)
    data: Sequence[dict[str, str]]
    if response_format == "url":
        data = [{"url": link(service, request, picture)} for picture in pictures]
    else:
        data = await run_in_threadpool(lambda: [{"b64_json": b64(service, picture)} for picture in pictures])
    body = {"created": int(job.created), "data": data}
    return JSONResponse(body, headers=await run_in_threadpool(rate_headers, service, principal))


def b64(service: Service, picture: Picture) -> str:
    """Return a picture's bytes as base64."""
    return base64.b64encode(service.store.get(picture.digest)).decode()


def link(service: Service, request: Request, picture: Picture) -> str:
    """Return the address of a picture that opens without a key, for an hour."""
    return base_url(service, request) + service.links.path(picture.id)


def base_url(service: Service, request: Request) -> str:
    """Return the server's address as the client knows it, without a slash at the end."""
    settings = service.settings
    if settings.public_url is not None:
        return settings.public_url.rstrip("/")
    scheme, host = request.url.scheme, request.headers.get("host") or f"{settings.host}:{settings.port}"
    if request.client is not None and request.client.host in settings.trusted_proxies:
        scheme = request.headers.get("x-forwarded-proto", scheme).split(",")[0].strip()
        host = request.headers.get("x-forwarded-host", host).split(",")[0].strip()
    if scheme not in ("http", "https") or not HOST.fullmatch(host):
        raise internal("The address of this server cannot be told: set --public-url.")
    return f"{scheme}://{host}"
