"""Jobs: from the queue to their end, and what they cost."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sample_records import a_job, a_picture
from sqlalchemy import Engine

from unclip.records.jobs import Job, Jobs
from unclip.records.pictures import Gallery

FAULT = {"status": 500, "message": "out of memory", "type": "server_error", "code": None, "param": None}
REFUSED = {**FAULT, "status": 400, "code": "content_policy_violation"}


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine)


def now(jobs: Jobs, id: str) -> Job:
    """A job as it is."""
    job = jobs.get(id)
    assert job is not None
    return job


def test_a_job_is_kept_as_it_was_given(jobs: Jobs) -> None:
    job = a_job(
        request={"prompt": "a red apple", "sizes": [64, None, 0.5], "nested": {"é": True}},
        priority=-3,
        detached=True,
        idempotency_key="once",
        body_hash="abc",
        user="user-7",
        notes={"unknown": ["zebra"]},
    )
    assert jobs.add(job) == job
    assert jobs.get(job.id) == jobs.get(job.id, "alice") == job
    assert jobs.get(job.id, "bob") is None
    assert jobs.get("job_none") is None


def test_from_the_queue_to_done(jobs: Jobs, engine: Engine) -> None:
    began = time.time()
    id = jobs.add(a_job(n=2)).id
    assert jobs.start(id)
    running = now(jobs, id)
    assert (running.state, running.attempts, running.finished) == ("running", 1, None)
    assert running.started is not None
    pictures = [a_picture(job=id, index=index) for index in (1, 0)]
    assert jobs.finish(id, pictures, {"flags": []})
    done = now(jobs, id)
    assert (done.state, done.notes, done.error) == ("done", {"flags": []}, None)
    assert done.finished is not None
    assert began <= running.started <= done.finished <= time.time()
    assert Gallery(engine).of_job(id) == [pictures[1], pictures[0]]


def ends(jobs: Jobs) -> dict[str, Callable[[str], bool]]:
    """Each way a job can end."""
    return {
        "done": lambda id: jobs.finish(id, [], {}),
        "failed": lambda id: jobs.fail(id, FAULT),
        "cancelled": jobs.cancel,
    }


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_what_has_ended_stays_as_it_is(jobs: Jobs, engine: Engine, end: str) -> None:
    id = jobs.add(a_job()).id
    jobs.start(id)
    assert ends(jobs)[end](id)
    ended = now(jobs, id)
    assert ended.state == end
    assert not jobs.start(id)
    assert not jobs.fail(id, REFUSED)
    assert not jobs.cancel(id)
    assert not jobs.finish(id, [a_picture(job=id)], {"late": True})
    jobs.requeue(id)
    assert jobs.recover() == []
    assert now(jobs, id) == ended
    assert Gallery(engine).of_job(id) == []


def test_what_was_not_begun_is_not_finished(jobs: Jobs) -> None:
    id = jobs.add(a_job()).id
    assert not jobs.finish(id, [], {})
    assert now(jobs, id).state == "queued"
    assert jobs.cancel(id)
    assert not jobs.start(id)
    assert jobs.fail(jobs.add(a_job()).id, REFUSED)
    for change in (jobs.start, jobs.cancel, lambda id: jobs.fail(id, FAULT)):
        assert not change("job_none")


def test_one_of_many_threads_begins_a_job(jobs: Jobs) -> None:
    for _ in range(5):
        id = jobs.add(a_job()).id
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(jobs.start, [id] * 8)) == 1
        assert now(jobs, id).attempts == 1


def test_of_cancel_and_finish_one_is_told(jobs: Jobs, engine: Engine) -> None:
    for _ in range(10):
        id = jobs.add(a_job()).id
        jobs.start(id)
        with ThreadPoolExecutor(2) as pool:
            cancelled = pool.submit(jobs.cancel, id)
            finished = pool.submit(jobs.finish, id, [a_picture(job=id)], {})
        assert cancelled.result() != finished.result()
        assert len(Gallery(engine).of_job(id)) == finished.result()
        assert now(jobs, id).state == ("cancelled" if cancelled.result() else "done")


def test_a_job_goes_back_into_the_queue(jobs: Jobs) -> None:
    id = jobs.add(a_job()).id
    jobs.start(id)
    jobs.requeue(id)
    assert (now(jobs, id).state, now(jobs, id).started) == ("queued", None)
    assert jobs.start(id)
    assert now(jobs, id).attempts == 2


def test_the_queue_after_a_crash(jobs: Jobs) -> None:
    first, urgent, last, ended = (jobs.add(a_job(priority=priority)).id for priority in (0, 5, 0, 9))
    jobs.start(first)
    jobs.start(ended)
    jobs.finish(ended, [], {})
    queue = jobs.recover()
    assert [job.id for job in queue] == [urgent, first, last]
    assert [(job.state, job.attempts) for job in queue] == [("queued", 0), ("queued", 1), ("queued", 0)]
    assert {job.started for job in queue} == {None}


def test_a_repeated_key_is_the_same_job(jobs: Jobs) -> None:
    first = jobs.add(a_job(idempotency_key="k"))
    assert jobs.add(a_job(idempotency_key="k")) == first
    assert jobs.add(a_job(idempotency_key="k", owner="bob")).owner == "bob"
    assert jobs.add(a_job(idempotency_key="other")) != first
    assert len({jobs.add(a_job()).id for _ in range(3)}) == 3, "jobs without a key are never the same"
    jobs.start(first.id)
    jobs.finish(first.id, [], {})
    assert jobs.add(a_job(idempotency_key="k")) == now(jobs, first.id)
    assert len(jobs.list("alice", limit=100)) == 5


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_key_is_free_again_where_nothing_came_of_it(jobs: Jobs, end: str) -> None:
    first = jobs.add(a_job(idempotency_key="k"))
    ends(jobs)[end](first.id)
    second = a_job(idempotency_key="k")
    assert jobs.add(second) == second
    assert jobs.add(a_job(idempotency_key="k")) == second


def test_a_refusal_is_repeated(jobs: Jobs) -> None:
    first = jobs.add(a_job(idempotency_key="k"))
    jobs.fail(first.id, REFUSED)
    repeated = jobs.add(a_job(idempotency_key="k"))
    assert (repeated.id, repeated.error) == (first.id, REFUSED)


def test_many_threads_with_one_key_add_one_job(jobs: Jobs) -> None:
    for key in "abcde":
        with ThreadPoolExecutor(8) as pool:
            added = list(pool.map(lambda _, key=key: jobs.add(a_job(idempotency_key=key)).id, range(8)))
        assert len(set(added)) == 1
    assert jobs.counts()["queued"] == 5


def test_a_repeated_body(jobs: Jobs) -> None:
    old = jobs.add(a_job(body_hash="b", created=1000.0))
    new = jobs.add(a_job(body_hash="b", created=2000.0))
    jobs.add(a_job(body_hash="other", created=3000.0))
    assert jobs.repeated("alice", "b", since=0.0) == new
    assert jobs.repeated("alice", "b", since=2000.5) is None
    assert jobs.repeated("bob", "b", since=0.0) is None
    jobs.cancel(new.id)
    assert jobs.repeated("alice", "b", since=0.0) == old
    jobs.fail(old.id, REFUSED)
    assert jobs.repeated("alice", "b", since=0.0) is None


def test_pages_of_jobs(jobs: Jobs) -> None:
    mine = [jobs.add(a_job()).id for _ in range(5)]
    theirs = jobs.add(a_job(owner="bob")).id
    page = [job.id for job in jobs.list("alice", limit=2)]
    assert page == [mine[4], mine[3]]
    assert [job.id for job in jobs.list("alice", limit=9, before=page[-1])] == [mine[2], mine[1], mine[0]]
    assert [job.id for job in jobs.list(None, limit=2)] == [theirs, mine[4]]
    assert jobs.list("carol", limit=9) == []


def test_credits(jobs: Jobs) -> None:
    def add(n: int, created: float = 2000.0, owner: str = "alice") -> str:
        return jobs.add(a_job(n=n, created=created, owner=owner)).id

    add(1)
    running, done = add(2), add(4)
    for id in (running, done):
        jobs.start(id)
    jobs.finish(done, [], {})
    jobs.cancel(add(8))
    jobs.fail(add(16), REFUSED)
    add(32, created=1999.0)
    add(64, owner="bob")
    assert jobs.used("alice", since=2000.0) == 1 + 2 + 4
    assert jobs.used("alice", since=0.0) == 1 + 2 + 4 + 32
    assert jobs.used("carol", since=0.0) == 0


def test_counts_name_every_state(jobs: Jobs) -> None:
    assert jobs.counts() == {"queued": 0, "running": 0, "done": 0, "failed": 0, "cancelled": 0}
    jobs.add(a_job())
    jobs.start(jobs.add(a_job()).id)
    jobs.cancel(jobs.add(a_job()).id)
    assert jobs.counts() == {"queued": 1, "running": 1, "done": 0, "failed": 0, "cancelled": 1}
