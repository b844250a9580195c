"""The dispatcher: jobs from the table to the processes that draw, and what becomes of them back into it."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from unclip.engine.messages import About, Called, Cancel, Done, Failed, FromEngine, NotReady, Ready, Stepped
from unclip.engine.process import Choice, EngineProcess, Gone
from unclip.errors import UnclipError
from unclip.records.audit import Audit
from unclip.records.jobs import Job, Jobs
from unclip.server.drawing import Drawing
from unclip.server.errors import ApiError, bad_request, internal, overloaded, policy_violation
from unclip.server.events import Events
from unclip.server.metrics import Metrics
from unclip.server.queue import FairQueue, Waiting

log = logging.getLogger("unclip.server")
T = TypeVar("T")

MOST_ATTEMPTS = 4  # so often a job is begun: what kills the process each time must end
ALONE_AFTER = 2  # times begun in vain, after which a job is drawn alone: others shall not end with it
RESTART_SECONDS = (0.0, 1.0, 5.0, 30.0)  # to wait before a process that keeps dying is begun again


@dataclass
class _Live:
    """A job that has not ended, and how many clients have asked for it and not left."""

    job: Job
    ended: asyncio.Future[Job]
    previews: bool
    engine: "_Engine | None" = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)  # the table and the process know of it
    clients: int = 1
    left: bool = False  # by all of them: it is being cancelled
    alone: bool = False  # it is drawn beside no other


@dataclass
class _Engine:
    """One process that draws, and what it draws."""

    choice: Choice
    process: EngineProcess | None = None
    about: About | None = None  # None: not ready
    jobs: set[str] = field(default_factory=set[str])
    deaths: int = 0  # since it was last ready


class Dispatcher:
    """Holds every job that has not ended. All of it runs in one asyncio loop, but for what is in threads."""

    def __init__(
        self,
        jobs: Jobs,
        audit: Audit,
        drawing: Drawing,
        events: Events,
        metrics: Metrics,
        choices: list[Choice],
        slots: int,
        queue_limit: int,
    ) -> None:
        self._jobs, self._audit, self._drawing = jobs, audit, drawing
        self._events, self._metrics = events, metrics
        self._slots, self._queue_limit = slots, queue_limit
        self._engines = [_Engine(choice) for choice in choices]
        self._queue = FairQueue()
        self._held: Waiting | None = None  # the next, which is to be drawn alone
        self._live = dict[str, _Live]()
        self._tasks = set[asyncio.Task[None]]()
        self._handing = asyncio.Semaphore(2)  # jobs with their decoded pictures, on their way to a process
        self._ending = asyncio.Event()
        self.about: About | None = None  # the model, once known
        self._known = asyncio.Event()
        self.refused: asyncio.Future[str] | None = None  # why the model cannot be loaded at all

    async def start(self) -> None:
        """Queue what the last server left, and start the processes that draw."""
        self._loop = asyncio.get_running_loop()
        self.refused = self._loop.create_future()
        for job in await run_in_threadpool(self._jobs.recover):
            self._expect(replace(job, detached=True), previews=False)  # its client has gone with the server
            self._queue.add(Waiting(job.id, job.owner, job.priority))
        for engine in self._engines:
            self._begin_process(engine)

    async def stop(self, seconds: float) -> None:
        """Let what is drawn be finished for so long, put back the rest, and end the processes."""
        self.drain()
        under_way = [live.ended for live in self._live.values() if live.engine is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=seconds)
        await self._leave_to_the_next(list(self._live))
        for engine in self._engines:
            if engine.process is not None:
                await run_in_threadpool(engine.process.stop)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _leave_to_the_next(self, ids: Iterable[str]) -> None:
        """Put what is being drawn back into the table, for the next server."""
        for id in ids:
            live = self._live.get(id)
            if live is not None and live.engine is not None:
                live.engine = None
                await run_in_threadpool(self._jobs.requeue, id)
        self.drain()

    def drain(self) -> None:
        """Begin no more jobs, and tell those who wait for one that is not begun to come again."""
        self._ending.set()
        for live in self._live.values():
            if live.engine is None and not live.ended.done():
                live.ended.set_exception(overloaded("The server is restarting: ask again.", 2))
                live.ended.exception()  # looked at: nobody may be waiting

    def check_room(self) -> None:
        """Raise ApiError if no job can be taken now."""
        if self._ending.is_set():
            raise overloaded("The server is restarting: ask again.", 2)
        if len(self._queue) >= self._queue_limit:
            raise overloaded("The queue is full: ask again later.", retry_after=5)

    async def submit(self, job: Job, previews: bool = False) -> Job:
        """Put a job into table and queue, or join the one that it repeats. Raises ApiError if full."""
        self.check_room()
        self._expect(job, previews)  # before anybody can find it in the table
        try:
            added = await run_in_threadpool(self._jobs.add, job)
        except BaseException:
            del self._live[job.id]
            raise
        if added.id != job.id:
            del self._live[job.id]
            return added if await self.join(added) else await self.submit(job, previews)
        self._queue.add(Waiting(job.id, job.owner, job.priority))
        self._tell(job)
        self._pump()
        return job

    def _expect(self, job: Job, previews: bool) -> None:
        ended = asyncio.get_running_loop().create_future()
        self._live[job.id] = _Live(job, ended, previews, alone=job.attempts >= ALONE_AFTER)

    async def join(self, job: Job) -> bool:
        """Ask for a job as another client does. False: it has been cancelled meanwhile."""
        live = self._live.get(job.id)
        if live is not None and live.left:
            await asyncio.wait((live.ended,))
            return False
        if live is not None:
            live.clients += 1
            return True
        ended = await run_in_threadpool(self._jobs.get, job.id)
        return ended is not None and ended.state != "cancelled"

    async def known(self, seconds: float) -> bool:
        """Wait until the model is known, for so long; False: it is not."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), seconds)
        return self.about is not None

    def is_live(self, id: str) -> bool:
        """Tell whether a job has not ended."""
        return id in self._live

    async def ended(self, job: Job) -> Job:
        """Wait for a job to end. Raises ApiError if the server ends before."""
        live = self._live.get(job.id)
        if live is None:
            found = await run_in_threadpool(self._jobs.get, job.id)
            assert found is not None
            return found
        return await asyncio.shield(live.ended)

    async def leave(self, job: Job) -> None:
        """Take back that a client has asked for a job: the last one's cancels it, unless it is detached."""
        live = self._live.get(job.id)
        if live is None:
            return
        live.clients -= 1
        if not live.clients and not live.job.detached and not self._ending.is_set():
            live.left = True
            await self.cancel(job.id)

    async def cancel(self, id: str) -> bool:
        """Cancel a job; False if it had ended."""
        if not await run_in_threadpool(self._jobs.cancel, id):
            return False
        self._queue.remove(id)
        if self._held is not None and self._held.job == id:
            self._held = None
        live = self._live.get(id)
        process = live.engine.process if live is not None and live.engine is not None else None
        await self._end(id)
        if process is not None:
            await run_in_threadpool(process.send, Cancel(id))
        return True

    def position(self, id: str) -> int | None:
        """Return how many jobs are before this one in the queue; None: it is not in the queue."""
        return self._queue.position(id, self._under_way())

    def positions(self) -> dict[str, int]:
        """Return the same of every job in the queue."""
        return {job: k for k, job in enumerate(self._queue.order(self._under_way()))}

    @property
    def waiting(self) -> int:
        """How many jobs are in the queue."""
        return len(self._queue)

    @property
    def ready(self) -> bool:
        """Whether a process can draw."""
        return any(engine.about is not None for engine in self._engines)

    @property
    def processes(self) -> list[int]:
        """The numbers of the processes that draw."""
        pids = [engine.process.pid for engine in self._engines if engine.process is not None]
        return [pid for pid in pids if pid is not None]

    def _under_way(self) -> Counter[str]:
        return Counter(live.job.owner for live in self._live.values() if live.engine is not None)

    def _pump(self) -> None:
        """Give jobs to processes while there is room."""
        while not self._ending.is_set():
            free = list(filter(self._has_room, self._engines))
            waiting = (self._held or self._queue.next(self._under_way())) if free else None
            if waiting is None:
                return
            live, engine = self._live[waiting.job], min(free, key=lambda engine: len(engine.jobs))
            self._held = waiting if live.alone and engine.jobs else None
            if self._held is not None:
                return  # until that process has drawn what it has
            engine.jobs.add(waiting.job)
            live.engine = engine
            self._spawn(self._begin(live, engine))

    def _has_room(self, engine: _Engine) -> bool:
        alone = any(self._live[id].alone for id in engine.jobs)
        return engine.about is not None and not alone and len(engine.jobs) < self._slots

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, live: _Live, engine: _Engine) -> None:
        try:
            await self._begin_in(live, engine)
        except UnclipError as error:
            await self._fail(live.job.id, bad_request(str(error)))
        except Exception:
            log.exception("%s: it could not be begun", live.job.id)
            await self._fail(live.job.id, internal())
        finally:
            live.begun.set()

    async def _begin_in(self, live: _Live, engine: _Engine) -> None:
        id = live.job.id
        if not await run_in_threadpool(self._jobs.start, id):
            return  # cancelled meanwhile
        live.job = replace(live.job, state="running", attempts=live.job.attempts + 1)
        self._metrics.began(live.job)
        self._tell(live.job)
        async with self._handing:
            run = await run_in_threadpool(self._drawing.to_draw, live.job, live.previews)
            if live.engine is engine and engine.process is not None:
                await run_in_threadpool(engine.process.send, run)
                if live.engine is None:  # cancelled meanwhile, which the process may have heard first
                    await run_in_threadpool(engine.process.send, Cancel(id))

    def _begin_process(self, engine: _Engine) -> None:
        engine.process = EngineProcess(engine.choice, self._hear(engine))

    def _hear(self, engine: _Engine) -> Callable[[EngineProcess, FromEngine | Gone], None]:
        def hear(process: EngineProcess, message: FromEngine | Gone) -> None:
            self._loop.call_soon_threadsafe(self._heard, engine, process, message)

        return hear

    def _heard(self, engine: _Engine, process: EngineProcess, message: FromEngine | Gone) -> None:
        match message:
            case Ready(about):
                engine.about, engine.deaths, self.about = about, 0, about
                self._known.set()
                log.info("ready: %s on %s", about.name, about.device)
                self._pump()
            case NotReady(text):
                assert self.refused is not None
                if not self.refused.done():
                    self.refused.set_result(text)
            case Called():
                self._metrics.called(message)
            case Stepped(job) if job in engine.jobs:
                owner = self._live[job].job.owner
                self._events.publish("step", owner, job, replace(message, previews=()))
                if message.previews:
                    self._events.publish("preview", owner, job, message)
            case Done(job) | Failed(job) if job in engine.jobs:
                engine.jobs.discard(job)  # the process is done with it, and is given the next
                self._spawn(self._finish(self._live[job], message))
                self._pump()
            case Gone():
                self._spawn(self._bury(engine, process, message))
            case _:  # of a job that was cancelled
                pass

    async def _finish(self, live: _Live, message: Done | Failed) -> None:
        try:
            await self._keep(live, message)
        except Exception:
            log.exception("%s: its pictures could not be kept", live.job.id)
            await self._fail(live.job.id, internal("The pictures were drawn and could not be kept."))

    async def _keep(self, live: _Live, message: Done | Failed) -> None:
        id = live.job.id
        flags = message.flags if isinstance(message, Failed) else message.notes.get("flags")
        if flags:
            await self._write_flags(live.job, flags, refused=isinstance(message, Failed))
        if isinstance(message, Failed):
            await self._fail(id, _error(message))
            return
        assert self.about is not None
        pictures = await run_in_threadpool(self._drawing.keep, live.job, message, self.about)
        if await run_in_threadpool(self._jobs.finish, id, pictures, dict(message.notes)):
            await self._end(id)

    async def _write_flags(self, job: Job, flags: Sequence[str], refused: bool) -> None:
        action = "refused" if refused else "flagged"
        detail = {"flags": [f"concept: {name}" for name in flags], "task": job.task, "user": job.user}
        await run_in_threadpool(self._audit.write, action, job.owner, job.id, detail)
        if refused:
            self._metrics.refused.labels("content_policy_violation").inc()

    async def _fail(self, id: str, error: ApiError) -> None:
        if await run_in_threadpool(self._jobs.fail, id, error.stored()):
            await self._end(id)

    async def _end(self, id: str) -> None:
        """Let go of a job that has ended in the table, and tell all who wait."""
        job = await run_in_threadpool(self._jobs.get, id)
        live = self._live.pop(id, None)
        if job is None or live is None:
            return
        if live.engine is not None:
            live.engine.jobs.discard(id)
            live.engine = None
        if not live.ended.done():
            live.ended.set_result(job)
        self._metrics.ended(job)
        self._tell(job)
        self._pump()
        await run_in_threadpool(self._drawing.forget_inputs, job)

    def _tell(self, job: Job) -> None:
        self._events.publish("job", job.owner, job.id, job)

    async def _bury(self, engine: _Engine, process: EngineProcess, gone: Gone) -> None:
        """Put back what a process that has ended was drawing, and start another."""
        lost, engine.jobs, engine.about = engine.jobs, set(), None
        if self._ending.is_set() or (self.refused is not None and self.refused.done()):
            await self._leave_to_the_next(lost)
            return
        log.warning(
            "a process that draws has ended (%s): %d jobs go on in another", gone.exit_code, len(lost)
        )
        self._metrics.deaths.inc()
        for id in sorted(lost):
            await self._put_back(id)
        pause = RESTART_SECONDS[min(engine.deaths, len(RESTART_SECONDS) - 1)]
        engine.deaths += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), pause)
        if not self._ending.is_set():
            self._begin_process(engine)

    async def _put_back(self, id: str) -> None:
        if id in self._live:
            await self._live[id].begun.wait()  # or the table would say that it runs while it is in the queue
        live = self._live.get(id)
        if live is None:
            return
        live.engine = None
        live.begun.clear()
        live.alone = live.job.attempts >= ALONE_AFTER
        if live.job.attempts >= MOST_ATTEMPTS:
            await self._fail(id, internal(f"The process that draws has ended {MOST_ATTEMPTS} times at this."))
            return
        await run_in_threadpool(self._jobs.requeue, id)
        live.job = replace(live.job, state="queued", started=None)
        self._queue.add(Waiting(id, live.job.owner, live.job.priority), first=True)
        self._tell(live.job)
        self._pump()


def _error(failed: Failed) -> ApiError:
    match failed.reason:
        case "request":
            return bad_request(failed.message)
        case "policy":
            return policy_violation(of="image")
        case _:
            log.error("%s: %s", failed.job, failed.message)
            return internal()
