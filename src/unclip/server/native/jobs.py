"""Jobs: put into the queue at once, drawn when it is their turn, whether or not their client stays."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from unclip.records import jobs
from unclip.records.pictures import Picture
from unclip.server.accepting import Draft, accept, rate_headers
from unclip.server.auth import Principal, User
from unclip.server.contract import read_json
from unclip.server.errors import REFUSALS
from unclip.server.models import about_of, loaded
from unclip.server.native.answers import Before, Job, Limit, job_of, jobs_of, not_found
from unclip.server.native.asked import KINDS, Asked, read_asked
from unclip.server.native.bodies import described
from unclip.server.native.bounds import check_bounds
from unclip.server.service import Service, service_of

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=REFUSALS)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Sent again with the same body, it finds the same job.",
    ),
]


class Jobs(BaseModel):
    """A page of jobs, the newest first; `next` is null on the last."""

    data: list[Job]
    next: str | None


@router.post("", status_code=202, dependencies=[Depends(loaded)], openapi_extra=described(*KINDS.values()))
async def create_job(
    request: Request, response: Response, principal: User, idempotency_key: IdempotencyKey = None
) -> Job:
    """Put a job into the queue, to be drawn whether or not its client stays."""
    del idempotency_key  # looked at where jobs are accepted, as those of other endpoints
    service = service_of(request)
    asked = read_asked(read_json(await request.body()))
    draft = await _drafted(service, principal, asked)
    job = await accept(service, principal, draft, request)
    await service.dispatcher.leave(job)  # it is detached, and goes on
    response.headers.update(await run_in_threadpool(rate_headers, service, principal))
    return await job_of(service, request, job)


@router.get("")
async def list_jobs(request: Request, principal: User, limit: Limit = 20, before: Before = None) -> Jobs:
    """List your jobs, the newest first."""
    service = service_of(request)
    found = await run_in_threadpool(service.jobs.list, principal.id, limit + 1, before)
    data = await jobs_of(service, request, found[:limit])
    return Jobs(data=data, next=data[-1].id if len(found) > limit else None)


@router.get("/{id}")
async def get_job(request: Request, principal: User, id: str) -> Job:
    """Tell how a job is doing."""
    service = service_of(request)
    return await job_of(service, request, await _found(service, principal, id))


@router.delete("/{id}")
async def cancel_job(request: Request, principal: User, id: str) -> Job:
    """Stop a job, or take it out of the queue. One that has ended stays as it is."""
    service = service_of(request)
    job = await _found(service, principal, id)
    if await service.dispatcher.cancel(id) and job.owner != principal.id:
        await run_in_threadpool(service.audit.write, "job.cancel", principal.id, id, {"owner": job.owner})
    return await job_of(service, request, await _found(service, principal, id))


async def _found(service: Service, principal: Principal, id: str) -> jobs.Job:
    job = await run_in_threadpool(service.jobs.get, id, principal.sees)
    if job is None:
        raise not_found("job", id)
    return job


async def _drafted(service: Service, principal: Principal, asked: Asked) -> Draft:
    settings = asked.settings()
    pictures = await run_in_threadpool(_pictures, service, principal, settings)
    check_bounds(asked, about_of(service), pictures)
    return Draft(
        asked.task,
        _by_digest(settings, pictures),
        asked.count,
        asked.sentences,
        parents=list(pictures.values()),
        user=asked.user,
        priority=asked.priority,
        detached=True,
        previews=True,
    )


def _pictures(service: Service, principal: Principal, settings: Mapping[str, Any]) -> dict[str, Picture]:
    """Return the caller's pictures that settings name, by their ids. Raises ApiError if one is not there."""
    found = dict[str, Picture]()
    for name, value in settings.items():
        for id in _ids(value):
            picture = service.gallery.get(id, principal.id)
            if picture is None:
                raise not_found("image", id, name)
            found[id] = picture
    return found


def _ids(value: Any) -> Iterator[str]:
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            yield part["picture"]


def _by_digest(value: Any, pictures: Mapping[str, Picture]) -> Any:
    """Put digests, by which the store has them, in the place of ids."""
    if isinstance(value, list):
        return [_by_digest(part, pictures) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"picture"}:
        return {"picture": pictures[value["picture"]].digest}
    return {name: _by_digest(part, pictures) for name, part in value.items()}
