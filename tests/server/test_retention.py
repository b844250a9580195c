"""Retention: what is deleted, when, and what never is."""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from sample_records import a_job, a_picture

from unclip.records.pictures import Picture
from unclip.records.store import Store
from unclip.server import retention
from unclip.server.accepting import month_began
from unclip.server.app import create_app
from unclip.server.dispatcher import Dispatcher
from unclip.server.service import Service, open_service
from unclip.server.settings import Settings

NOW = time.time()
DAY = 86400.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A server's parts, of which none is started; it keeps pictures for two days."""
    database, store = f"sqlite:///{tmp_path / 'unclip.db'}", str(tmp_path / "pictures")
    service = open_service(Settings(tmp_path, database, store, sign=False, keep_days=2.0))
    yield service
    service.closing.close()


def add(service: Service, data: bytes, days: float, **fields: Any) -> Picture:
    """Add an upload that was made so many days ago."""
    picture = a_picture(digest=service.store.put(data), created=NOW - DAY * days, **fields)
    service.gallery.add(picture)
    return picture


def clean(service: Service, hours: int = 1) -> None:
    """Run the task that cleans, until it has looked so often."""

    async def run() -> None:
        looked, pauses = asyncio.Event(), 0

        async def pause(waiting: Any, seconds: float) -> None:
            nonlocal pauses
            assert seconds == 3600
            pauses += 1
            if pauses >= hours:
                looked.set()
                await waiting
            waiting.close()
            raise TimeoutError

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("unclip.server.retention.asyncio.wait_for", pause)
            async with retention.cleaning(service):
                await looked.wait()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_pictures_past_their_days_go_with_their_bytes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    old = [add(service, f"old {k}".encode(), 3, owner=owner) for k, owner in enumerate("aabbc")]
    new = add(service, b"new", 1)
    liked = add(service, b"liked", 9, favourite=True)
    shared = [add(service, b"shared", days) for days in (3, 1)]
    clean(service)
    assert [service.gallery.get(picture.id) for picture in old] == [None] * 5
    assert not any(service.store.has(picture.digest) for picture in old)
    assert service.gallery.get(shared[0].id) is None
    for kept in (new, liked, shared[1]):
        assert service.gallery.get(kept.id) == kept
        assert service.store.has(kept.digest)


def test_it_looks_every_hour(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, began = add(service, b"a picture", 1.99), iter((NOW, NOW + 600, NOW + 1200))
    monkeypatch.setattr(retention, "delete_records", lambda *_: None)
    monkeypatch.setattr("unclip.server.retention.time.time", lambda: next(began))
    clean(service, hours=2)
    assert service.gallery.get(picture.id) == picture
    began = iter((NOW, NOW + 1200))
    clean(service, hours=2)
    assert service.gallery.get(picture.id) is None


def test_a_bad_hour_does_not_end_it(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture, delete = add(service, b"a picture", 3), retention.delete_pictures
    answers = iter((OSError("No space left on device"), None))

    def delete_pictures(service: Service, before: float) -> int:
        if (error := next(answers, None)) is not None:
            raise error
        return delete(service, before)

    monkeypatch.setattr(retention, "delete_pictures", delete_pictures)
    clean(service, hours=2)
    assert service.gallery.get(picture.id) is None
    assert "what is past its 2 days could not all be deleted" in caplog.text


def test_without_days_everything_stays(tmp_path: Path) -> None:
    database, store = f"sqlite:///{tmp_path / 'unclip.db'}", str(tmp_path / "pictures")
    service = open_service(Settings(tmp_path, database, store, sign=False))
    picture = add(service, b"a picture", 9999)
    service.audit.write("flagged", None, None, {})

    async def run() -> None:
        async with retention.cleaning(service):
            await asyncio.sleep(0.05)

    asyncio.run(run())
    assert service.gallery.get(picture.id) == picture
    service.closing.close()


def test_audit_and_jobs_go_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, before = service.jobs, NOW + DAY
    service.audit.write("flagged", None, None, {})
    job = jobs.add(a_job()).id
    jobs.cancel(job)
    retention.delete_records(service, NOW - DAY)
    assert len(service.audit.list(10)) == 1
    retention.delete_records(service, before)
    assert service.audit.list(10) == []
    assert jobs.get(job) is not None, "it counts for the quota of this month"
    monkeypatch.setattr(retention, "month_began", lambda now: month_began(now + 40 * DAY))
    retention.delete_records(service, before)
    assert jobs.get(job) is None


def test_what_a_crash_has_left_goes_at_start(service: Service) -> None:
    kept = [add(service, f"{k}".encode(), 0).digest for k in range(3)]
    awaited, orphan = service.store.put(b"awaited"), service.store.put(b"orphan")
    service.jobs.add(a_job(request={"settings": {"image": {"picture": awaited}}}))
    partial = Path(service.settings.store) / "0123456789abcdef.tmp"
    partial.write_bytes(b"half")
    retention.delete_orphans(service)
    assert not service.store.has(orphan)
    assert not partial.exists()
    assert all(map(service.store.has, [*kept, awaited]))


def test_the_pictures_of_another_database_are_left(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    add(service, b"of this database", 0)
    foreign = [service.store.put(f"of another {k}".encode()) for k in range(2)]
    retention.delete_orphans(service)
    assert all(map(service.store.has, foreign))
    assert "2 of 3 pictures in the store are not in the database" in caplog.text


def test_a_store_elsewhere_is_not_looked_through(service: Service) -> None:
    elsewhere = replace(service, store=Store(f"memory://{secrets.token_hex(8)}"))
    kept = [add(elsewhere, data, 0).digest for data in (b"one", b"other")]
    orphan = elsewhere.store.put(b"orphan")
    retention.delete_orphans(elsewhere)
    assert all(map(elsewhere.store.has, [*kept, orphan]))
    fsspec.filesystem("memory").store.clear()


def test_a_disk_that_cannot_be_cleaned_is_served(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(retention, "delete_orphans", broken)
    clean(service)
    assert "what a crash has left could not all be deleted" in caplog.text


def test_the_application_cleans_before_it_begins_jobs(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unclip.server")
    old, orphan = add(service, b"old", 3), service.store.put(b"orphan")
    seen = list[bool]()

    async def start(self: Dispatcher) -> None:
        seen.append(service.store.has(orphan))

    monkeypatch.setattr(Dispatcher, "start", start)
    app = create_app(service)

    async def run() -> None:
        async with app.router.lifespan_context(app):
            while service.gallery.get(old.id) is not None:
                await asyncio.sleep(0.01)

    add(service, b"kept", 0)
    asyncio.run(asyncio.wait_for(run(), 30))
    assert seen == [False], "an orphan must not go while a job is about to store the same bytes again"
    assert "1 pictures that no job or user has any more were deleted" in caplog.text
    assert "1 pictures past their days were deleted" in caplog.text
