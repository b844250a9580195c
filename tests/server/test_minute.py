import time

import pytest
from sample_records import a_job
from served import Served

from unclip.records.jobs import Jobs
from unclip.server.minute import Minute, minute_of

NOW = 1_000_000.0


def minute(limit: int, *spent: tuple[float, int]) -> Minute:
    """A minute in which so many pictures were promised so many seconds ago."""
    return Minute(limit, [(NOW - ago, count) for ago, count in spent], NOW)


@pytest.mark.parametrize(
    ("found", "used", "remaining"),
    [
        (minute(5), 0, 5),
        (minute(5, (50, 2), (10, 1)), 3, 2),
        (minute(5, (50, 5)), 5, 0),
        (minute(2, (50, 5)), 5, 0),  # a limit that was lowered
    ],
)
def test_what_is_left(found: Minute, used: int, remaining: int) -> None:
    assert (found.used, found.remaining) == (used, remaining)


def test_all_is_free_again_a_minute_after_the_last() -> None:
    assert minute(5, (50, 2), (10, 1)).reset == NOW + 50
    assert minute(5).reset == NOW


@pytest.mark.parametrize(("n", "seconds"), [(1, 10), (2, 10), (3, 40), (4, 50), (5, 50)])
def test_more_is_free_as_the_oldest_are_a_minute_old(n: int, seconds: int) -> None:
    assert minute(5, (50, 2), (20, 1), (10, 2)).seconds_until(n) == seconds


def test_who_asks_for_more_waits_at_least_a_second() -> None:
    assert minute(5, (59.99, 5)).seconds_until(1) == 1
    assert minute(5, (40.5, 5)).seconds_until(1) == 20
    assert minute(5).seconds_until(6) == 1  # and never gets it


def test_only_jobs_of_the_last_minute_count_that_may_give_pictures(served: Served) -> None:
    jobs: Jobs = served.service.jobs
    ended = {name: a_job(owner="alice", n=4, created=time.time()) for name in ("failed", "cancelled")}
    others = [
        a_job(owner="bob", n=7),
        a_job(owner="alice", n=9, created=time.time() - 61),
        a_job(owner="alice", n=1, created=time.time() - 30),
        a_job(owner="alice", n=2, created=time.time() - 1),
        *ended.values(),
    ]
    for job in others:
        jobs.add(job)
    jobs.fail(ended["failed"].id, {"status": 500})
    jobs.cancel(ended["cancelled"].id)
    found = minute_of(jobs, "alice", 10)
    assert [count for _, count in found.spent] == [1, 2]
    assert found.reset == pytest.approx(time.time() + 59, abs=2)
