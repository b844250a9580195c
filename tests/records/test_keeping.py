"""What the records say of things past their time: pictures, jobs, and bytes that nothing names."""

import secrets
from pathlib import Path
from typing import Any

import fsspec
from sample_records import a_digest, a_job, a_picture
from sqlalchemy import Engine

from unclip.records.jobs import Jobs
from unclip.records.pictures import Gallery, Picture
from unclip.records.store import Store

NOW = 1e9


def add(engine: Engine, **fields: Any) -> Picture:
    picture = a_picture(**fields)
    Gallery(engine).add(picture)
    return picture


def ended(engine: Engine, at: float, monkeypatch: Any, *pictures: dict[str, Any]) -> str:
    """A job that was done at a time, with such pictures; its id."""
    jobs = Jobs(engine)
    job = jobs.add(a_job(created=at)).id
    with monkeypatch.context() as patched:
        patched.setattr("unclip.records.jobs.time.time", lambda: at)
        assert jobs.start(job)
        assert jobs.finish(job, [a_picture(job=job, **fields) for fields in pictures], {})
    return job


def test_old_pictures_expire_unless_somebody_keeps_them(engine: Engine) -> None:
    gallery = Gallery(engine)
    old = [add(engine, created=NOW - k, owner=owner) for k, owner in ((3, "alice"), (2, "bob"), (1, "bob"))]
    liked, collected = add(engine, created=NOW - 9, favourite=True), add(engine, created=NOW - 9)
    gallery.put_into(gallery.create_collection("alice", "owls").id, collected.id, "alice")
    new = add(engine, created=NOW)
    assert gallery.expired(NOW, 10) == [picture.id for picture in old]
    assert gallery.expired(NOW, 2) == [old[0].id, old[1].id]
    assert [gallery.expire(picture.id, NOW) for picture in old] == [picture.digest for picture in old]
    assert gallery.expired(NOW, 10) == []
    for kept in (liked, collected, new):
        assert gallery.expire(kept.id, NOW) is None, "it is kept, whatever was found before"
        assert gallery.get(kept.id) == kept


def test_bytes_of_an_expired_picture_that_another_has(engine: Engine) -> None:
    gallery = Gallery(engine)
    old, new = (add(engine, created=created, digest=a_digest("shared")) for created in (NOW - 1, NOW))
    assert gallery.expire(old.id, NOW) == ""
    assert gallery.get(new.id) == new


def test_digests_that_nothing_needs(engine: Engine) -> None:
    there, gone, read, was_read = (a_digest(name) for name in ("there", "gone", "read", "was read"))
    add(engine, digest=there)
    Jobs(engine).add(a_job(request={"settings": {"image": {"picture": read}}}))
    job = Jobs(engine).add(a_job(request={"settings": {"image": {"picture": was_read}}}))
    Jobs(engine).cancel(job.id)
    assert Gallery(engine).unneeded([there, gone, read, was_read]) == [gone, was_read]
    assert Gallery(engine).unneeded([]) == []


def test_jobs_without_pictures_are_pruned(engine: Engine, monkeypatch: Any) -> None:
    jobs = Jobs(engine)
    bare = ended(engine, NOW - 1, monkeypatch)
    full = ended(engine, NOW - 1, monkeypatch, {"index": 0})
    late = ended(engine, NOW, monkeypatch)
    waits, runs = (jobs.add(a_job(created=NOW - 9)).id for _ in range(2))
    jobs.start(runs)
    assert jobs.prune(NOW) == 1
    assert {job.id for job in jobs.list(None, 10)} == {full, late, waits, runs}
    assert jobs.get(bare) is None
    for picture in Gallery(engine).of_job(full):
        Gallery(engine).delete(picture.id, picture.owner)
    assert jobs.prune(NOW) == 1
    assert jobs.prune(NOW) == 0
    assert jobs.get(full) is None


def test_a_store_is_looked_through(tmp_path: Path) -> None:
    for url, is_local in (
        (str(tmp_path / "a folder [1]"), True),
        (f"memory://{secrets.token_hex(8)}", False),
    ):
        store = Store(url)
        assert list(store.digests()) == []
        assert store.is_local == is_local
        digests = {store.put(str(k).encode()) for k in range(20)}
        system, root = fsspec.core.url_to_fs(url)
        system.pipe_file(f"{root}/{secrets.token_hex(8)}.tmp", b"half")
        system.pipe_file(f"{root}/notes.tmp", b"an operator's")
        assert set(store.digests()) == digests
        store.delete_partial()
        names = {path.rpartition("/")[2] for path in system.find(root)}
        assert names == digests | {"notes.tmp"}
    fsspec.filesystem("memory").store.clear()
