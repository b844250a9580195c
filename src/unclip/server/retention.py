"""What is kept no longer: pictures past their days, and bytes that a crash has left to nobody."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from unclip.server.accepting import month_began
from unclip.server.service import Service

log = logging.getLogger("unclip.server")
T = TypeVar("T")

PAUSE_SECONDS = 3600.0
AT_ONCE = 100  # pictures, so that a server that is told to stop does not wait long
LOOKED_UP = 500  # digests in one query


@asynccontextmanager
async def cleaning(service: Service) -> AsyncGenerator[None]:
    """Clean up before jobs are begun, then every hour."""
    try:
        await run_in_threadpool(delete_orphans, service)
    except Exception:  # a server whose disk cannot be cleaned can still serve
        log.exception("what a crash has left could not all be deleted")
    stop = asyncio.Event()
    task = asyncio.create_task(_every_hour(service, stop))
    try:
        yield
    finally:
        stop.set()  # and not cancelled, which would leave its thread at work in a database that is closed
        await task


async def _every_hour(service: Service, stop: asyncio.Event) -> None:
    days = service.settings.keep_days
    while days is not None and not stop.is_set():
        before = time.time() - 86400 * days
        try:
            while not stop.is_set() and await run_in_threadpool(delete_pictures, service, before):
                pass
            await run_in_threadpool(delete_records, service, before)
        except Exception:  # a database or disk that has a bad hour
            log.exception("what is past its %g days could not all be deleted", days)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)


def delete_pictures(service: Service, before: float) -> int:
    """Delete some pictures and uploads from before a time; return how many, 0 when all are gone.

    Favourites and what is in a collection are kept.
    """
    ids = service.gallery.expired(before, AT_ONCE)
    for id in ids:
        with service.store.changing:
            digest = service.gallery.expire(id, before)
            if digest:
                service.store.delete(digest)
    if ids:
        log.info("%d pictures past their days were deleted", len(ids))
    return len(ids)


def delete_records(service: Service, before: float) -> None:
    """Delete audit entries from before a time, and jobs that have no pictures any more.

    Jobs of this month stay, since they count for the quota.
    """
    service.audit.prune(before)
    service.jobs.prune(min(before, month_began(time.time())))


def delete_orphans(service: Service) -> None:
    """Delete bytes in a local store that nothing needs, if no job is under way.

    More of them than of others are no crash's: the database is another's, or older than the pictures. They
    are left, and the log says so.
    """
    if not service.store.is_local:
        return
    service.store.delete_partial()
    orphans, count = list[str](), 0
    for digests in _batches(service.store.digests(), LOOKED_UP):
        orphans += service.gallery.unneeded(digests)
        count += len(digests)
    if 2 * len(orphans) > count:
        log.warning(
            "%d of %d pictures in the store are not in the database, and are left: is it the right one?",
            len(orphans),
            count,
        )
        return
    for digest in orphans:
        service.store.delete(digest)
    if orphans:
        log.info("%d pictures that no job or user has any more were deleted", len(orphans))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
