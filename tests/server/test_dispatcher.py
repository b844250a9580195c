import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from sample_records import a_job
from served import Running, eventually, in_loop, running
from stub_engine import Engines, StubEngine, hold

from unclip.engine.messages import Cancel, Done, Pixels, Run
from unclip.records.database import open_database
from unclip.records.jobs import Job, Jobs
from unclip.records.store import Store
from unclip.server import app, dispatcher
from unclip.server.dispatcher import MOST_ATTEMPTS
from unclip.server.drawing import Drawing
from unclip.server.events import Event
from unclip.server.settings import Settings

REQUEST = {"settings": {"prompt": "a red cube", "n": 1, "size": 64, "seed": 1}, "side": 64}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: a process that has died is begun again, and a server that is told to stops."""
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", (0.0,))
    monkeypatch.setattr(app, "STOP_SECONDS", 0.5)  # for jobs that a test has left undone


def left_behind(settings: Settings, *jobs: Job) -> None:
    """Jobs of a server that was there before."""
    database = open_database(settings.database)
    for job in jobs:
        Jobs(database).add(job)
    database.dispose()


def job_of(owner: str = "alice", **fields: Any) -> Job:
    return a_job(owner=owner, request=REQUEST, **fields)


def table(settings: Settings) -> dict[str, Job]:
    """All jobs, as the next server finds them."""
    database = open_database(settings.database)
    found = {job.id: job for job in Jobs(database).list(None, 100)}
    database.dispose()
    return found


def newest(server: Running) -> Job:
    return server.service.jobs.list(None, 1)[0]


# From the last server to the next.


@in_loop
async def test_what_the_last_server_left_is_drawn(settings: Settings, engines: Engines) -> None:
    first, second, urgent = job_of(), job_of(state="running", attempts=1), job_of(priority=1)
    left_behind(settings, first, second, urgent, job_of(state="done"), job_of(state="cancelled"))
    async with running(replace(settings, slots=1)) as server:
        await eventually(lambda: server.states.count("done") == 4)
        assert [run.job for _, run in engines.runs()] == [urgent.id, first.id, second.id]
        for job, attempts in ((first, 1), (second, 2)):
            found = server.service.jobs.get(job.id)
            assert found is not None
            assert (found.state, found.attempts) == ("done", attempts)
            assert [picture.owner for picture in server.service.gallery.of_job(job.id)] == ["alice"]


@in_loop
async def test_a_stopping_server_finishes_what_it_draws_and_keeps_what_waits(
    settings: Settings, engines: Engines
) -> None:
    engines.act = hold
    async with running(replace(settings, slots=1)) as server:
        drawn, waiting = server.draw(), None
        await eventually(engines.runs)
        waiting = server.draw()
        await eventually(lambda: server.service.dispatcher.waiting)
        stopping = asyncio.ensure_future(server.service.dispatcher.stop(10))
        told = await waiting.ended()
        assert told.status == 503
        assert told.json()["error"]["message"] == "The server is restarting: ask again."
        assert told.headers["x-should-retry"] == "true"
        assert (await server.draw().ended()).status == 503  # nor is anything taken any more
        ((engine, run),) = engines.runs()
        engine.draw(run)
        assert (await drawn.ended()).status == 200
        await asyncio.wait_for(stopping, 5)
    assert sorted(job.state for job in table(settings).values()) == ["done", "queued"]


@in_loop
async def test_what_takes_too_long_is_left_to_the_next_server(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.act = hold
    monkeypatch.setattr(app, "STOP_SECONDS", 0.05)
    async with running(settings) as server:
        slow = server.draw()
        await eventually(engines.runs)
    assert (await slow.ended()).status == 503
    (job,) = table(settings).values()
    assert (job.state, job.attempts) == ("queued", 1)
    engines.act = StubEngine.draw
    async with running(settings) as server:
        await eventually(lambda: server.states == ["done"])
    (job,) = table(settings).values()
    assert job.attempts == 2


@in_loop
async def test_a_process_that_dies_while_the_server_stops_holds_up_nobody(
    settings: Settings, engines: Engines
) -> None:
    engines.act = hold
    async with running(settings) as server:
        drawn = server.draw()
        await eventually(engines.runs)
        stopping = asyncio.ensure_future(server.service.dispatcher.stop(30))
        await asyncio.sleep(0)
        engines.begun[0].die()
        assert (await drawn.ended()).status == 503
        await asyncio.wait_for(stopping, 5)
    assert [job.state for job in table(settings).values()] == ["queued"]
    assert len(engines.begun) == 1


@in_loop
async def test_a_server_that_stops_while_a_process_is_to_begin_again_does_not_wait(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", (30.0,))
    async with running(settings) as server:
        await eventually(lambda: server.service.dispatcher.ready)
        engines.begun[0].die()
        await eventually(lambda: not server.service.dispatcher.ready)
        await asyncio.wait_for(server.service.dispatcher.stop(1), 5)
    assert len(engines.begun) == 1


# Processes that die.


@in_loop
async def test_what_a_process_was_drawing_goes_on_in_the_next(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, slots=2)) as server:
        asked = [server.draw() for _ in range(3)]
        await eventually(lambda: len(engines.runs()) == 2)
        engines.act = StubEngine.draw
        engines.begun[0].die()
        assert [(await one.ended()).status for one in asked] == [200] * 3
        assert len(engines.begun) == 2
        attempts = [job.attempts for job in server.service.jobs.list(None, 3)]
        assert sorted(attempts) == [1, 2, 2]
        seeds = {run.job: set[int]() for _, run in engines.runs()}
        for _, run in engines.runs():
            seeds[run.job].add(run.settings["seed"])
        assert all(len(each) == 1 for each in seeds.values())  # the same pictures
        assert "unclip_engine_deaths_total 1.0" in server.service.metrics.text().decode()


@in_loop
async def test_what_was_being_drawn_is_next(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, slots=1)) as server:
        first = server.draw(prompt="first")
        await eventually(engines.runs)
        second = server.draw(prompt="second")
        await eventually(lambda: server.service.dispatcher.waiting)
        engines.act = StubEngine.draw
        engines.begun[0].die()
        for one in (first, second):
            assert (await one.ended()).status == 200
        assert [run.settings["prompt"] for _, run in engines.runs()] == ["first", "first", "second"]


@in_loop
async def test_what_kills_every_process_is_given_up(settings: Settings, engines: Engines) -> None:
    engines.act = lambda engine, run: engine.die()
    async with running(settings) as server:
        told = await server.draw().ended()
        assert told.status == 500
        assert told.headers["x-should-retry"] == "false"
        assert f"has ended {MOST_ATTEMPTS} times at this" in told.json()["error"]["message"]
        assert len(engines.runs()) == MOST_ATTEMPTS
        engines.act = StubEngine.draw
        assert (await server.draw().ended()).status == 200


@in_loop
async def test_who_is_drawn_beside_what_kills_is_not_given_up_with_it(
    settings: Settings, engines: Engines
) -> None:
    def act(engine: StubEngine, run: Run) -> None:
        if run.settings["prompt"] == "a bomb":
            engine.die()
        else:  # it takes its time
            threading.Timer(0.05, lambda: engine.is_dying or engine.draw(run)).start()

    engines.act = act
    async with running(settings) as server:
        await eventually(lambda: server.service.dispatcher.ready)
        asked = [server.draw(prompt=prompt) for prompt in ("a cube", "a bomb", "an apple", "a table")]
        assert [(await one.ended()).status for one in asked] == [200, 500, 200, 200]
        assert (await server.draw().ended()).status == 200


@in_loop
async def test_what_is_drawn_alone_is_neither_forgotten_nor_overtaken(
    settings: Settings, engines: Engines
) -> None:
    other, suspect, last = job_of("bob"), job_of("alice", attempts=2), job_of("carol")
    left_behind(settings, other, suspect, last)
    engines.act = hold
    async with running(replace(settings, slots=3)) as server:
        ((engine, first),) = await _runs(engines, 1)
        assert first.job == other.id
        await asyncio.sleep(0.02)
        assert len(engines.runs()) == 1
        engine.draw(first)
        (_, (_, second)) = await _runs(engines, 2)
        assert second.job == suspect.id
        await asyncio.sleep(0.02)
        assert len(engines.runs()) == 2
        engine.draw(second)
        (_, _, (_, third)) = await _runs(engines, 3)
        assert third.job == last.id
        engine.draw(third)
        await eventually(lambda: set(server.states) == {"done"})


@in_loop
async def test_what_is_to_be_drawn_alone_can_be_cancelled(settings: Settings, engines: Engines) -> None:
    other, suspect, last = job_of("bob"), job_of("alice", attempts=2), job_of("carol")
    left_behind(settings, other, suspect, last)
    engines.act = hold
    async with running(replace(settings, slots=3)) as server:
        await _runs(engines, 1)
        assert await server.service.dispatcher.cancel(suspect.id)
        await _runs(engines, 2)
        for engine, run in engines.runs():
            engine.draw(run)
        await eventually(lambda: server.states == ["done", "cancelled", "done"])


async def _runs(engines: Engines, count: int) -> list[tuple[StubEngine, Run]]:
    await eventually(lambda: len(engines.runs()) == count)
    return engines.runs()


@in_loop
async def test_a_process_that_dies_as_a_job_begins_loses_nothing(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, begun, go = Jobs.start, threading.Event(), threading.Event()

    def slowly(jobs: Jobs, id: str) -> bool:
        begun.set()
        assert go.wait(5)
        return begin(jobs, id)

    monkeypatch.setattr(Jobs, "start", slowly)
    async with running(settings) as server:
        asked = server.draw()
        await eventually(begun.is_set)
        engines.begun[0].die()
        await eventually(lambda: not server.service.dispatcher.ready)
        go.set()
        assert (await asked.ended()).status == 200
        assert newest(server).attempts == 2


@in_loop
async def test_processes_that_keep_dying_are_begun_again_ever_later(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", (0.0, 0.0, 60.0))
    engines.loaded.clear()
    async with running(settings) as server:
        for count in (1, 2, 3):
            await eventually(lambda count=count: len(engines.begun) == count)
            engines.begun[-1].die()
        await asyncio.sleep(0.05)
        assert len(engines.begun) == 3
        assert not server.service.dispatcher.ready


@in_loop
async def test_a_process_that_was_ready_is_begun_again_at_once(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", (0.0, 60.0))
    async with running(settings) as server:
        for count in (1, 2, 3, 4):
            await eventually(lambda count=count: len(engines.begun) == count)
            await eventually(lambda: server.service.dispatcher.ready)
            engines.begun[-1].die()
        await eventually(lambda: len(engines.begun) == 5)


# Cancelling.


@in_loop
async def test_a_job_that_is_drawn_can_be_cancelled(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, slots=1)) as server:
        asked = server.draw()
        await eventually(engines.runs)
        ((engine, run),) = engines.runs()
        assert await server.service.dispatcher.cancel(run.job)
        assert not await server.service.dispatcher.cancel(run.job)
        told = await asked.ended()
        assert (told.status, told.json()["error"]["code"]) == (409, "cancelled")
        assert told.headers["x-should-retry"] == "false"
        await eventually(lambda: Cancel(run.job) in engine.told)
        engine.draw(run)  # it had just finished
        engines.act = StubEngine.draw
        assert (await server.draw().ended()).status == 200  # its place is free
        assert server.states == ["cancelled", "done"]
        assert not server.service.gallery.of_job(run.job)


@in_loop
async def test_a_job_that_waits_can_be_cancelled(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, slots=1)) as server:
        drawn = server.draw()
        await eventually(engines.runs)
        waiting, last = server.draw(), server.draw()
        await eventually(lambda: server.service.dispatcher.waiting == 2)
        ids = [job.id for job in reversed(server.service.jobs.list(None, 3))]
        assert [server.service.dispatcher.position(id) for id in ids] == [None, 0, 1]
        assert await server.service.dispatcher.cancel(ids[1])
        assert (await waiting.ended()).status == 409
        assert [server.service.dispatcher.position(id) for id in ids] == [None, None, 0]
        last.go()
        await last.ended()
        assert server.states == ["running", "cancelled", "cancelled"]
        assert len(engines.runs()) == 1
        drawn.go()


@in_loop
async def test_nothing_is_cancelled_that_there_is_not(settings: Settings, engines: Engines) -> None:
    async with running(settings) as server:
        assert not await server.service.dispatcher.cancel("job_nowhere")
        await server.draw().ended()
        assert not await server.service.dispatcher.cancel(newest(server).id)
        assert server.states == ["done"]


@in_loop
async def test_a_job_may_be_cancelled_while_its_pictures_are_kept(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep, keeping, go = Drawing.keep, threading.Event(), threading.Event()

    def slowly(*everything: Any) -> Any:
        keeping.set()
        assert go.wait(5)
        return keep(*everything)

    monkeypatch.setattr(Drawing, "keep", slowly)
    async with running(settings) as server:
        asked = server.draw()
        await eventually(keeping.is_set)
        job = newest(server)
        assert await server.service.dispatcher.cancel(job.id)
        go.set()
        assert (await asked.ended()).status == 409
    assert [job.state for job in table(settings).values()] == ["cancelled"]
    assert not caplog.records or "could not be kept" not in caplog.text


# Clients that go.


@in_loop
async def test_nothing_is_drawn_for_who_has_gone(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, slots=1)) as server:
        drawn = server.draw()
        await eventually(engines.runs)
        waiting = server.draw()
        await eventually(lambda: server.service.dispatcher.waiting)
        for one in (waiting, drawn):
            one.go()
            assert (await one.ended()).status == 499
        ((engine, run),) = engines.runs()
        await eventually(lambda: Cancel(run.job) in engine.told)
        assert server.states == ["cancelled", "cancelled"]


@in_loop
async def test_a_detached_job_goes_on_without_its_client(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        asked = server.draw(query="?detach=1")
        await eventually(engines.runs)
        asked.go()
        assert (await asked.ended()).status == 499
        ((engine, run),) = engines.runs()
        engine.draw(run)
        await eventually(lambda: server.states == ["done"])
        assert newest(server).detached


@in_loop
async def test_a_job_goes_on_as_long_as_somebody_waits_for_it(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        first, second, third = (server.draw({"idempotency-key": "one"}) for _ in range(3))
        await eventually(engines.runs)
        await asyncio.sleep(0.05)
        for one in (first, third):
            one.go()
            await one.ended()
        assert server.states == ["running"]
        ((engine, run),) = engines.runs()
        engine.draw(run)
        assert (await second.ended()).status == 200


@in_loop
async def test_when_the_last_has_gone_the_job_goes_too(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        asked = [server.draw({"idempotency-key": "one"}) for _ in range(2)]
        await eventually(engines.runs)
        await asyncio.sleep(0.05)
        for one in asked:
            one.go()
            await one.ended()
        assert server.states == ["cancelled"]
        engines.act = StubEngine.draw
        assert (await server.draw({"idempotency-key": "one"}).ended()).status == 200  # asked anew
        assert server.states == ["cancelled", "done"]


# Several processes.


@in_loop
async def test_processes_share_the_work(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, devices=("cpu", "cuda"), slots=2)) as server:
        await eventually(lambda: len(engines.begun) == 2)
        assert [engine.choice.device for engine in engines.begun] == ["cpu", "cuda"]
        assert server.service.dispatcher.processes == [engine.pid for engine in engines.begun]
        asked = [server.draw() for _ in range(6)]
        await eventually(lambda: len(engines.runs()) == 4)
        await eventually(lambda: server.service.dispatcher.waiting == 2)
        assert [len([run for e, run in engines.runs() if e is engine]) for engine in engines.begun] == [2, 2]
        engines.act = StubEngine.draw
        for engine, run in engines.runs():
            engine.draw(run)
        assert [(await one.ended()).status for one in asked] == [200] * 6


@in_loop
async def test_the_process_with_the_least_to_do_is_given_the_next(
    settings: Settings, engines: Engines
) -> None:
    engines.act = hold
    async with running(replace(settings, devices=("cpu", "cuda"), slots=4)) as server:
        await eventually(lambda: len(engines.begun) == 2)
        await eventually(lambda: all(engine.is_ready for engine in engines.begun))
        await asyncio.sleep(0)  # that the front has heard it
        asked = [server.draw() for _ in range(4)]
        await eventually(lambda: len(engines.runs()) == 4)
        assert [len(engine.told) for engine in engines.begun] == [2, 2]
        for one in asked:
            one.go()


@in_loop
async def test_one_process_goes_on_where_another_has_died(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", (60.0,))
    engines.act = hold
    async with running(replace(settings, devices=("cpu", "cuda"), slots=1)) as server:
        asked = [server.draw() for _ in range(2)]
        await eventually(lambda: len(engines.runs()) == 2)
        engines.act = StubEngine.draw
        engines.begun[0].die()
        ((other, run),) = [(engine, run) for engine, run in engines.runs() if engine is engines.begun[1]]
        other.draw(run)
        assert [(await one.ended()).status for one in asked] == [200] * 2
        assert server.service.dispatcher.ready


@in_loop
async def test_owners_are_served_in_turn(settings: Settings, engines: Engines) -> None:
    jobs = [job_of(owner) for owner in ("alice", "alice", "alice", "bob")]
    left_behind(settings, *jobs)
    async with running(replace(settings, slots=1)) as server:
        await eventually(lambda: server.states.count("done") == 4)
        assert [run.job for _, run in engines.runs()] == [jobs[k].id for k in (0, 3, 1, 2)]


# What a process says.


@in_loop
async def test_the_model_is_known_when_it_is_loaded(settings: Settings, engines: Engines) -> None:
    engines.loaded.clear()
    async with running(settings) as server:
        dispatcher_ = server.service.dispatcher
        assert not await dispatcher_.known(0.01)
        assert not dispatcher_.ready
        waiting = asyncio.ensure_future(dispatcher_.known(5))
        engines.loaded.set()
        assert await waiting
        assert dispatcher_.about == engines.about


@in_loop
async def test_a_model_that_cannot_be_loaded_is_told(settings: Settings, engines: Engines) -> None:
    engines.refuses = "nowhere: there is no model"
    async with running(settings) as server:
        refused = server.service.dispatcher.refused
        assert refused is not None
        assert await asyncio.wait_for(refused, 5) == "nowhere: there is no model"
        await asyncio.sleep(0.02)
        assert len(engines.begun) == 1  # it would be refused again


def noting(engines: Engines, **notes: Any) -> None:
    """Have the engine say something of its pictures."""

    def act(engine: StubEngine, run: Run) -> None:
        say = engine.say
        engine.say = lambda message: say(  # type: ignore[method-assign]
            replace(message, notes=notes) if isinstance(message, Done) else message
        )
        engine.draw(run)
        engine.say = say  # type: ignore[method-assign]

    engines.act = act


@in_loop
async def test_notes_are_kept_with_the_job(settings: Settings, engines: Engines) -> None:
    noting(engines, unknown_words={"bleu": ["blue"]})
    async with running(settings) as server:
        assert (await server.draw().ended()).status == 200
        assert newest(server).notes == {"unknown_words": {"bleu": ["blue"]}}
        assert not server.service.audit.list(10)


@in_loop
async def test_pictures_that_show_a_concept_are_in_the_trail(settings: Settings, engines: Engines) -> None:
    noting(engines, flags=["night", "weapon"])
    async with running(settings) as server:
        assert (await server.draw(user="customer-7").ended()).status == 200
        (entry,) = server.service.audit.list(10)
        job = newest(server)
        assert (entry.action, entry.owner, entry.job) == ("flagged", "anonymous", job.id)
        assert entry.detail == {
            "flags": ["concept: night", "concept: weapon"],
            "task": "text_to_image",
            "user": "customer-7",
        }


@in_loop
async def test_pictures_that_are_refused_are_in_the_trail_and_not_given_out(
    settings: Settings, engines: Engines
) -> None:
    engines.act = lambda engine, run: engine.fail(run, "policy", "the output shows weapon", "weapon")
    async with running(settings) as server:
        told = await server.draw().ended()
        assert told.status == 400
        error = told.json()["error"]
        assert error["code"] == "content_policy_violation"
        assert "weapon" not in error["message"]
        (entry,) = server.service.audit.list(10)
        assert (entry.action, entry.detail["flags"]) == ("refused", ["concept: weapon"])
        assert server.states == ["failed"]
        text = server.service.metrics.text().decode()
        assert 'unclip_refused_total{code="content_policy_violation"} 1.0' in text


@in_loop
async def test_what_the_engine_says_of_a_crash_is_for_the_operator(
    settings: Settings, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    engines.act = lambda engine, run: engine.fail(run, "internal", "OutOfMemoryError: no memory left")
    async with running(settings) as server:
        told = await server.draw().ended()
        assert told.status == 500
        assert "memory" not in told.text
        assert "OutOfMemoryError: no memory left" in caplog.text
        assert newest(server).error is not None


@in_loop
async def test_pictures_that_cannot_be_kept_fail_the_job(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "put", full)
    async with running(settings) as server:
        told = await server.draw().ended()
        assert told.status == 500
        assert told.json()["error"]["message"] == "The pictures were drawn and could not be kept."
        assert "No space left" in caplog.text
        assert server.states == ["failed"]
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("error", "status"), [(None, 400), (OSError("the disk is gone"), 500), (RuntimeError("broken"), 500)]
)
@in_loop
async def test_a_picture_that_cannot_be_read_fails_the_job_and_frees_its_place(
    settings: Settings,
    engines: Engines,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    status: int,
) -> None:
    gone = {"image": {"picture": "0" * 64}, "n": 1, "size": 64, "seed": 1}
    job = a_job(task="variations", request={"settings": gone, "side": 64})
    left_behind(settings, job)
    if error is not None:

        def fails(*_: Any) -> bytes:
            raise error

        monkeypatch.setattr(Store, "get", fails)
    async with running(replace(settings, slots=1)) as server:
        await eventually(lambda: server.states == ["failed"])
        found = newest(server).error
        assert found is not None
        assert found["status"] == status
        monkeypatch.undo()


@in_loop
async def test_what_happens_to_a_job_is_told(settings: Settings, engines: Engines) -> None:
    def act(engine: StubEngine, run: Run) -> None:
        for index in (1, 2):
            engine.step(run, index, 2)
        engine.draw(run)

    engines.act = act
    async with running(settings) as server:
        listener = server.service.events.listen(lambda _: True)
        asked = server.draw(stream=True, n=2)
        told = list[Event]()
        while not told or told[-1].name != "job" or told[-1].data.state != "done":
            told.append(await asyncio.wait_for(anext(listener), 5))
        await asked.ended()
        job = newest(server)
        states = [event.data.state for event in told if event.name == "job"]
        steps = [(event.data.stage, event.data.index) for event in told if event.name == "step"]
        assert states == ["queued", "running", "done"]
        assert steps == [("decoder", 1), ("decoder", 2)]
        assert [len(event.data.previews) for event in told if event.name == "preview"][-1] == 2
        assert {(event.job, event.owner) for event in told} == {(job.id, "anonymous")}
        assert all(not event.data.previews for event in told if event.name == "step")


@in_loop
async def test_nothing_is_told_of_a_job_that_was_let_go(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        server.draw()
        await eventually(engines.runs)
        ((engine, run),) = engines.runs()
        await server.service.dispatcher.cancel(run.job)
        listener = server.service.events.listen(lambda _: True)
        engine.step(run, 1, 2)
        engine.draw(run)
        engine.fail(run, "internal", "broken")
        engine.say(Done("job_nowhere", [Pixels("RGB", (1, 1), b"123")], [{}], {}))
        engines.act = StubEngine.draw
        assert (await server.draw().ended()).status == 200
        listener.close()
        assert {event.job async for event in listener} == {newest(server).id}


@in_loop
async def test_jobs_are_counted(settings: Settings, engines: Engines) -> None:
    async with running(settings) as server:
        await server.draw(n=3).ended()
        engines.act = lambda engine, run: engine.fail(run, "request", "no")
        await server.draw().ended()
        text = server.service.metrics.text().decode()
        for line in (
            'unclip_jobs_total{state="done",task="text_to_image"} 1.0',
            'unclip_jobs_total{state="failed",task="text_to_image"} 1.0',
            "unclip_pictures_total 3.0",
            "unclip_job_wait_seconds_count 2.0",
            "unclip_job_draw_seconds_count 2.0",
            'unclip_network_call_rows_count{stage="decoder"} 1.0',
        ):
            assert line in text


@in_loop
async def test_many_clients_are_all_answered(settings: Settings, engines: Engines) -> None:
    def act(engine: StubEngine, run: Run) -> None:
        if run.settings["seed"] % 5 == 0 and len(engines.begun) < 4:
            engine.die()
        else:
            engine.draw(run)

    engines.act = act
    async with running(replace(settings, slots=3)) as server:
        asked = [server.draw(size="256x256", n=1 + k % 2) for k in range(24)]
        asked[5].go()
        statuses = [(await one.ended()).status for k, one in enumerate(asked) if k != 5]
        assert statuses == [200] * 23
        assert server.service.dispatcher.waiting == 0
        await eventually(lambda: set(server.states) <= {"done", "cancelled"})
