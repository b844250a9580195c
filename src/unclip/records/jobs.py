"""Jobs: what was asked of the server, and what became of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select, update

from unclip.records.database import reading, until_unique, writing
from unclip.records.pictures import Picture, insert_pictures
from unclip.records.tables import jobs, pictures

State = Literal["queued", "running", "done", "failed", "cancelled"]

_OPEN: tuple[State, ...] = ("queued", "running")
_PAID: tuple[State, ...] = (*_OPEN, "done")


@dataclass(frozen=True)
class Job:
    """A request for pictures. All times are unix seconds."""

    id: str  # of new_id("job")
    owner: str  # a key's id, or "anonymous"
    task: str  # "text_to_image", "variations", "edit", ...
    request: dict[str, Any]  # JSON: the task's settings, pictures by their digest in the store
    n: int  # pictures that it makes, and credits that it costs
    created: float
    state: State = "queued"
    priority: int = 0  # the highest is first
    attempts: int = 0  # how often it was begun
    started: float | None = None
    finished: float | None = None
    error: dict[str, Any] | None = None  # {"status", "message", "type", "code", "param"}
    detached: bool = False  # goes on when its client has gone
    idempotency_key: str | None = None  # of its owner's jobs, at most one has it
    body_hash: str | None = None
    user: str | None = None  # the end user, as the application named them
    notes: dict[str, Any] = field(default_factory=dict[str, Any])  # what the engine said of it


class Jobs:
    """The jobs of a database. Each method is one transaction; threads may share the object.

    A job's state changes only from the states that a method names, so that of two who change it one is told.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, job: Job) -> Job:
        """Add a job, and return it, or the one that its owner gave the same idempotency key before.

        A job that was cancelled, or failed by the server's fault (status 500 or more), has given up its key.
        """
        return until_unique(lambda: self._add(job))

    def get(self, id: str, owner: str | None = None) -> Job | None:
        """Return a job, or None if there is none by this id, or it is not the owner's that is named."""
        with reading(self._engine) as connection:
            query = select(jobs).where(jobs.c.id == id, *_of(owner))
            return _job(connection.execute(query).mappings().first())

    def with_key(self, owner: str, idempotency_key: str) -> Job | None:
        """Return an owner's job by the idempotency key that came with it, which it has not given up."""
        query = select(jobs).where(jobs.c.owner == owner, jobs.c.idempotency_key == idempotency_key)
        with reading(self._engine) as connection:
            return _job(connection.execute(query).mappings().first())

    def repeated(self, owner: str, body_hash: str, since: float) -> Job | None:
        """Return the newest job of a body that was not cancelled and has not failed."""
        query = select(jobs).where(jobs.c.owner == owner, jobs.c.body_hash == body_hash)
        query = query.where(jobs.c.created >= since, jobs.c.state.in_(_PAID))
        with reading(self._engine) as connection:
            return _job(
                connection.execute(query.order_by(jobs.c.created.desc(), jobs.c.id.desc())).mappings().first()
            )

    def start(self, id: str) -> bool:
        """Begin a queued job; False if it is not queued any more."""
        began = {"attempts": jobs.c.attempts + 1, "started": time.time()}
        with writing(self._engine) as connection:
            return _move(connection, id, ("queued",), "running", **began)

    def requeue(self, id: str) -> None:
        """Put a running job back into the queue."""
        with writing(self._engine) as connection:
            _move(connection, id, ("running",), "queued", started=None)

    def finish(self, id: str, pictures: Sequence[Picture], notes: dict[str, Any]) -> bool:
        """End a running job with its pictures; False, and nothing is written, if it does not run any more."""
        assert all(picture.job == id for picture in pictures)
        with writing(self._engine) as connection:
            if not _move(connection, id, ("running",), "done", finished=time.time(), notes=notes):
                return False
            insert_pictures(connection, pictures)
            return True

    def fail(self, id: str, error: dict[str, Any]) -> bool:
        """End a job that was not done yet with an error; False if it had ended."""
        ended: dict[str, Any] = {"error": error, "finished": time.time()}
        if error["status"] >= 500:
            ended["idempotency_key"] = None
        with writing(self._engine) as connection:
            return _move(connection, id, _OPEN, "failed", **ended)

    def cancel(self, id: str) -> bool:
        """End a job that was not done yet; False if it had ended."""
        with writing(self._engine) as connection:
            ended = {"finished": time.time(), "idempotency_key": None}
            return _move(connection, id, _OPEN, "cancelled", **ended)

    def recover(self) -> Sequence[Job]:
        """Queue again what ran when the last server ended, and return the queue, first to be drawn first."""
        queue = select(jobs).where(jobs.c.state == "queued")
        queue = queue.order_by(jobs.c.priority.desc(), jobs.c.created, jobs.c.id)
        with writing(self._engine) as connection:
            ran = update(jobs).where(jobs.c.state == "running")
            connection.execute(ran.values(state="queued", started=None))
            return [Job(**row) for row in connection.execute(queue).mappings()]

    def prune(self, before: float) -> int:
        """Delete jobs that had ended before a time and have no pictures; return how many those were."""
        ended = jobs.c.state.not_in(_OPEN)
        mine = select(pictures.c.id).where(pictures.c.job == jobs.c.id)
        with writing(self._engine) as connection:
            there = delete(jobs).where(ended, jobs.c.finished < before, ~mine.exists())
            return connection.execute(there).rowcount

    def used(self, owner: str, since: float) -> int:
        """Return the credits of an owner's jobs; those that failed or were cancelled cost nothing."""
        spent = select(func.coalesce(func.sum(jobs.c.n), 0))
        spent = spent.where(jobs.c.owner == owner, jobs.c.created >= since, jobs.c.state.in_(_PAID))
        with reading(self._engine) as connection:
            return int(connection.execute(spent).scalar_one())

    def spent(self, owner: str, since: float) -> list[tuple[float, int]]:
        """Return when the jobs that `used` counts were added, and what each costs; the oldest first."""
        found = select(jobs.c.created, jobs.c.n).where(jobs.c.owner == owner, jobs.c.created >= since)
        found = found.where(jobs.c.state.in_(_PAID)).order_by(jobs.c.created)
        with reading(self._engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(found)]

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        with reading(self._engine) as connection:
            found = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
            return dict.fromkeys(get_args(State), 0) | {row[0]: row[1] for row in found}

    def list(self, owner: str | None, limit: int, before: str | None = None) -> list[Job]:
        """Return an owner's newest jobs, or everyone's; `before` is the last id of the page before."""
        query = select(jobs).where(*_of(owner)).order_by(jobs.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(jobs.c.id < before)
        with reading(self._engine) as connection:
            return [Job(**row) for row in connection.execute(query).mappings()]

    def _add(self, job: Job) -> Job:
        with writing(self._engine) as connection:
            if job.idempotency_key is not None:
                of_key = and_(jobs.c.owner == job.owner, jobs.c.idempotency_key == job.idempotency_key)
                if there := _job(connection.execute(select(jobs).where(of_key)).mappings().first()):
                    return there
            connection.execute(insert(jobs).values(**vars(job)))
            return job


def _of(owner: str | None) -> Sequence[ColumnElement[bool]]:
    return [] if owner is None else [jobs.c.owner == owner]


def _job(row: Mapping[Any, Any] | None) -> Job | None:
    return None if row is None else Job(**row)


def _move(connection: Connection, id: str, before: Sequence[State], after: State, **values: object) -> bool:
    """Change a job's state if it is one of those; say whether it was."""
    there = update(jobs).where(jobs.c.id == id, jobs.c.state.in_(before))
    return connection.execute(there.values(state=after, **values)).rowcount == 1
