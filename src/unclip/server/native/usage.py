"""What a key has used of what it may use, and the audit trail."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from unclip.server.accepting import month_began, month_ends
from unclip.server.auth import Admin, Principal, User
from unclip.server.errors import REFUSALS
from unclip.server.minute import minute_of
from unclip.server.native.answers import Before, Limit, Time
from unclip.server.service import Service, service_of

router = APIRouter(tags=["operations"], responses=REFUSALS)


class PerMinute(BaseModel):
    """Pictures in the last minute; all null without a limit."""

    limit: int | None
    remaining: int | None
    reset: Time | None = Field(description="When all of the limit is free again, if nothing more comes.")


class Monthly(BaseModel):
    """Pictures in this month, by UTC."""

    limit: int | None = Field(description="null: none.")
    used: int
    reset: Time


class Usage(BaseModel):
    """What was used, and what may be."""

    owner: str = Field(description="The key's id, or anonymous.")
    images_per_minute: PerMinute
    monthly: Monthly


class Entry(BaseModel):
    """Something that was done."""

    id: str
    created: Time
    action: str
    owner: str | None = Field(description="Who did it; null: the operator, or the server itself.")
    job: str | None
    detail: dict[str, Any]


class Trail(BaseModel):
    """A page of the audit trail, the newest first; `next` is null on the last."""

    data: list[Entry]
    next: str | None


@router.get("/usage")
async def get_usage(request: Request, principal: User) -> Usage:
    """Tell what was used, and what may be."""
    service, now = service_of(request), time.time()
    used = await run_in_threadpool(service.jobs.used, principal.id, month_began(now))
    limit = principal.key and principal.key.monthly_credits
    return Usage(
        owner=principal.id,
        images_per_minute=await run_in_threadpool(_per_minute, service, principal),
        monthly=Monthly(limit=limit, used=used, reset=month_ends(now)),
    )


@router.get("/audit")
async def list_audit(
    request: Request,
    principal: Admin,
    action: Annotated[str | None, Query(max_length=100, description="Such as refused.")] = None,
    limit: Limit = 50,
    before: Before = None,
) -> Trail:
    """List what was done, by anybody. Needs the scope admin."""
    del principal
    found = await run_in_threadpool(service_of(request).audit.list, limit + 1, before, action)
    data = [Entry(**vars(entry)) for entry in found[:limit]]
    return Trail(data=data, next=data[-1].id if len(found) > limit else None)


def _per_minute(service: Service, principal: Principal) -> PerMinute:
    limit = principal.key and principal.key.images_per_minute
    if limit is None:
        return PerMinute(limit=None, remaining=None, reset=None)
    minute = minute_of(service.jobs, principal.id, limit)
    return PerMinute(limit=limit, remaining=minute.remaining, reset=minute.reset)
