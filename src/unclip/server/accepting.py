"""From a request that was understood to a job in the queue: repeats, policy, limits, quota."""

import calendar
import hashlib
import json
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from unclip.records.jobs import Job
from unclip.records.names import new_id
from unclip.records.pictures import Picture
from unclip.server.auth import Principal
from unclip.server.errors import ApiError, bad_request, overloaded, policy_violation
from unclip.server.minute import Minute, minute_of
from unclip.server.policy.moderation import ModerationUnavailable
from unclip.server.policy.policy import Verdict
from unclip.server.service import Service

REPEAT_SECONDS = 3600.0  # within which a client's retry finds the job of its first try


@dataclass(frozen=True)
class Draft:
    """What shall be drawn, before it is a job."""

    task: str
    settings: Mapping[str, Any]  # of the task; pictures as {"picture": digest}
    n: int
    sentences: Sequence[str] = ()  # for the policy
    side: int | None = None  # pixels that the pictures are brought to; None: as they are drawn
    parents: Sequence[Picture] = ()  # that they are made from
    blobs: Sequence[bytes] = ()  # to be stored: what settings and parents name
    inputs: Sequence[str] = ()  # digests of those that are for this job alone
    user: str | None = None
    priority: int | None = None  # None: the key's
    detached: bool = False
    previews: bool = False
    body: Sequence[Any] = ()  # what tells the request from others, beside its settings


def random_seed() -> int:
    """Return a seed that nobody has chosen; kept with the job, so that it is drawn the same again."""
    return secrets.randbelow(2**32)


async def accept(service: Service, principal: Principal, draft: Draft, request: Request) -> Job:
    """Put a job into the queue, or join the one that the request repeats. Raises ApiError for a refusal.

    Who asks for the job so must tell the dispatcher when they leave.
    """
    key, body = request.headers.get("idempotency-key"), _body_hash(draft)
    repeated = await _repeated(service, principal, key, body, request)
    if repeated is not None and await service.dispatcher.join(repeated):
        return repeated
    await _check_policy(service, principal, draft)
    job = Job(
        new_id("job"),
        principal.id,
        draft.task,
        {
            "settings": {"seed": random_seed(), **draft.settings},
            "side": draft.side,
            "parents": [parent.id for parent in draft.parents],
            "inputs": list(draft.inputs),
            "pictures": {parent.digest: parent.id for parent in draft.parents},
        },
        draft.n,
        time.time(),
        priority=_priority(principal, draft.priority),
        detached=draft.detached,
        idempotency_key=key,
        body_hash=body,
        user=draft.user,
    )
    async with service.charging[principal.id]:
        service.dispatcher.check_room()  # before anything is stored
        await run_in_threadpool(_charge, service, principal, draft.n)
        await run_in_threadpool(_keep, service, draft)
        added = await service.dispatcher.submit(job, draft.previews)
    try:
        return _same_body(added, body)
    except ApiError:
        await service.dispatcher.leave(added)
        raise


def _keep(service: Service, draft: Draft) -> None:
    with service.store.changing:
        stored = {service.store.put(data) for data in draft.blobs}
        for parent in draft.parents:
            if parent.digest in stored:  # else it was here before
                service.gallery.add(parent)


def _body_hash(draft: Draft) -> str:
    own = set(draft.inputs)
    settings = {name: value for name, value in draft.settings.items() if _picture(value) not in own}
    said = [draft.task, settings, draft.n, draft.side, list(draft.body)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _picture(value: Any) -> str | None:
    return value.get("picture") if isinstance(value, dict) else None


async def _repeated(
    service: Service, principal: Principal, key: str | None, body: str, request: Request
) -> Job | None:
    """Return the job of an earlier try: by its idempotency key, or by its body where a client retries."""
    if key is not None:
        if not 1 <= len(key) <= 255:
            raise bad_request("Idempotency-Key must have 1 to 255 characters.", "invalid_value")
        found = await run_in_threadpool(service.jobs.with_key, principal.id, key)
        return None if found is None else _same_body(found, body)
    if request.headers.get("x-stainless-retry-count", "0") in ("", "0"):
        return None
    since = time.time() - REPEAT_SECONDS
    return await run_in_threadpool(service.jobs.repeated, principal.id, body, since)


def _same_body(job: Job, body: str) -> Job:
    if job.body_hash != body:
        raise bad_request("This Idempotency-Key was used with other parameters.", "idempotency_key_reused")
    return job


async def _check_policy(service: Service, principal: Principal, draft: Draft) -> None:
    for sentence in draft.sentences:
        verdict = await _verdict(service, sentence)
        if not verdict.flagged:
            continue
        action = "refused" if verdict.refused else "flagged"
        detail = {"flags": list(verdict.flagged), "task": draft.task, "user": draft.user}
        await run_in_threadpool(service.audit.write, action, principal.id, None, detail)
        if verdict.refused:
            service.metrics.refused.labels("content_policy_violation").inc()
            raise policy_violation()


async def _verdict(service: Service, sentence: str) -> Verdict:
    try:
        return await service.policy.prompt(sentence)
    except ModerationUnavailable:
        raise overloaded("The moderator cannot be reached: ask again later.", retry_after=30) from None


def _charge(service: Service, principal: Principal, n: int) -> None:
    """Raise ApiError if this many pictures are more than the key may have now, or this month."""
    key = principal.key
    if key is None:
        return
    if key.monthly_credits is not None:
        used = service.jobs.used(key.id, month_began(time.time()))
        if used + n > key.monthly_credits:
            service.metrics.refused.labels("insufficient_quota").inc()
            message = (
                f"You exceeded your current quota: {used} of {key.monthly_credits} pictures of this month are"
                f" used, and this request is for {n}."
            )
            code = "insufficient_quota"
            raise ApiError(429, message, type=code, code=code, headers={"x-should-retry": "false"})
    if key.images_per_minute is not None:
        minute = minute_of(service.jobs, key.id, key.images_per_minute)
        if n > minute.remaining:
            service.metrics.refused.labels("rate_limit_exceeded").inc()
            raise _too_fast(minute, n)


def _too_fast(minute: Minute, n: int) -> ApiError:
    headers = {"retry-after": str(minute.seconds_until(n)), **_rate(minute)}
    if n > minute.limit:
        headers["x-should-retry"] = "false"
    message = (
        f"Rate limit exceeded for images per minute. Limit: {minute.limit}/1min. Current:"
        f" {minute.used + n}/1min."
    )
    return ApiError(429, message, type="requests", code="rate_limit_exceeded", headers=headers)


def rate_headers(service: Service, principal: Principal) -> dict[str, str]:
    """Return what a key may still have in this minute, as headers."""
    if principal.key is None or principal.key.images_per_minute is None:
        return {}
    return _rate(minute_of(service.jobs, principal.id, principal.key.images_per_minute))


def _rate(minute: Minute) -> dict[str, str]:
    return {
        "x-ratelimit-limit-images": str(minute.limit),
        "x-ratelimit-remaining-images": str(minute.remaining),
        "x-ratelimit-reset-images": f"{math.ceil(minute.reset - minute.now)}s",
    }


def month_began(now: float) -> float:
    """Return when the month of a moment began, in UTC."""
    there = time.gmtime(now)
    return float(calendar.timegm((there.tm_year, there.tm_mon, 1, 0, 0, 0)))


def month_ends(now: float) -> float:
    """Return when the month after begins, in UTC."""
    there = time.gmtime(now)
    years, month = divmod(there.tm_mon, 12)
    return float(calendar.timegm((there.tm_year + years, month + 1, 1, 0, 0, 0)))


def _priority(principal: Principal, asked: int | None) -> int:
    """Nobody but an administrator is served before what the key gives."""
    own = principal.key.priority if principal.key else 0
    return own if asked is None else asked if "admin" in principal.scopes else min(asked, own)
