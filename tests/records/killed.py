"""A program for test_database.py: do jobs, killed before ever later statements, until all are done.

Usage: killed.py URL. Prints how often it was killed, with SIGKILL. Each process checks what the last left.
"""

import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path

from sqlalchemy import Engine, event

sys.path.append(str(Path(__file__).parents[1] / "support"))

from sample_records import a_job, a_picture

from unclip.records.database import open_database
from unclip.records.jobs import Jobs
from unclip.records.pictures import Gallery

COUNT = 3  # jobs, of two pictures each


def die_at(moment: int) -> None:
    """Kill this process before the `moment`-th statement or commit."""
    happened = itertools.count(1)

    def hook(*_: object) -> None:
        if next(happened) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", hook)
    event.listen(Engine, "commit", hook)


def check(engine: Engine) -> None:
    """Pictures are there with their job's end, and at no other time."""
    for job in Jobs(engine).list("alice", limit=100):
        count = len(Gallery(engine).of_job(job.id))
        assert count == (2 if job.state == "done" else 0), (job, count)
        assert (job.finished is not None) == (job.state == "done"), job
        assert (job.attempts > 0) or job.state == "queued", job


def work(moment: int, url: str) -> None:
    die_at(moment)
    engine = open_database(url)
    check(engine)
    jobs = Jobs(engine)
    jobs.recover()
    for key in map(str, range(COUNT)):
        job = jobs.add(a_job(n=2, idempotency_key=key))
        if jobs.start(job.id):
            assert jobs.finish(job.id, [a_picture(job=job.id, index=k) for k in range(2)], {})
    engine.dispose()


def main(url: str) -> None:
    for moment in itertools.count(1, 2):
        child = multiprocessing.get_context("fork").Process(target=work, args=(moment, url))
        child.start()
        child.join()
        if child.exitcode != -signal.SIGKILL:
            assert child.exitcode == 0
            break
    engine = open_database(url)
    check(engine)
    assert Jobs(engine).counts()["done"] == len(Jobs(engine).list(None, limit=100)) == COUNT
    engine.dispose()
    print(moment // 2)


if __name__ == "__main__":
    main(sys.argv[1])
