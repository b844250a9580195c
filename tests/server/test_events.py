import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from unclip.server.events import BEHIND, KEPT, Event, Events, Listener, Name

FIRST = 1000


def everything(event: Event) -> bool:
    del event
    return True


async def told(listener: Listener) -> list[Event]:
    """All that a listener has to tell until now."""
    listener.close()
    return [event async for event in listener]


def heard(
    events: Events, after: int | None = None, wants: Callable[[Event], bool] = everything
) -> list[Event]:
    """What somebody is told who begins to listen now, and then hears no more."""

    async def listen() -> list[Event]:
        listener = events.listen(wants, after)
        events.leave(listener)
        return await told(listener)

    return asyncio.run(listen())


def events_of(*names: Name) -> Events:
    events = Events(FIRST)
    for place, name in enumerate(names):
        events.publish(name, "alice", f"job_{place}", place)
    return events


def ids(found: list[Event]) -> list[tuple[int, str]]:
    return [(event.id, event.name) for event in found]


def test_who_listens_hears_what_happens_in_its_order() -> None:
    async def listen() -> list[Event]:
        events = Events(FIRST)
        listener = events.listen(everything)
        events.publish("job", "alice", "job_1", "queued")
        first = await anext(listener)
        later = asyncio.ensure_future(anext(listener))
        await asyncio.sleep(0)
        assert not later.done()
        events.publish("step", "alice", "job_1", 1)
        return [first, await asyncio.wait_for(later, 1)]

    assert asyncio.run(listen()) == [
        Event(1000, "job", "alice", "job_1", "queued"),
        Event(1001, "step", "alice", "job_1", 1),
    ]


def test_everybody_hears_only_what_they_want() -> None:
    async def listen() -> list[list[str]]:
        events = Events(FIRST)
        alice, bob = (
            events.listen(lambda event, name=name: event.owner == name) for name in ("alice", "bob")
        )
        for owner, job in (("alice", "job_1"), ("bob", "job_2"), ("alice", "job_3")):
            events.publish("job", owner, job, None)
        return [[event.job for event in await told(listener)] for listener in (alice, bob)]

    assert asyncio.run(listen()) == [["job_1", "job_3"], ["job_2"]]


def test_who_has_left_hears_no_more() -> None:
    async def listen() -> list[Event]:
        events = Events(FIRST)
        listener = events.listen(everything)
        events.leave(listener)
        events.leave(listener)
        events.publish("job", "alice", "job_1", None)
        return await told(listener)

    assert asyncio.run(listen()) == []


def test_who_comes_back_hears_what_they_missed() -> None:
    events = events_of("job", "step", "job", "step")
    assert ids(heard(events, after=1001)) == [(1002, "job"), (1003, "step")]
    assert ids(heard(events, after=FIRST - 1)) == ids(heard(events, after=1001 - 2))
    assert ids(heard(events, 1000, lambda event: event.name == "job")) == [(1002, "job")]


@pytest.mark.parametrize("after", [None, 1003])
def test_who_missed_nothing_is_told_nothing(after: int | None) -> None:
    assert heard(events_of("job", "step", "job", "step"), after) == []


def test_previews_are_not_told_again() -> None:
    events = events_of("job", "preview", "step", "preview")
    assert ids(heard(events, after=1000)) == [(1002, "step")]
    assert ids(heard(events, after=1001)) == [(1002, "step")]


@pytest.mark.parametrize("after", [0, 998, 1002, 5000])
def test_of_a_gap_that_cannot_be_filled_a_reset_is_told_first(after: int) -> None:
    found = heard(events_of("job", "step"), after)
    assert found[0].name == "reset"
    assert [event.name for event in found[1:]] == (["job", "step"] if after < FIRST else [])


@pytest.mark.parametrize("after", [0, FIRST - 2, FIRST + 5])
def test_a_process_that_has_nothing_to_tell_yet_tells_a_reset(after: int) -> None:
    assert [event.name for event in heard(Events(FIRST), after)] == ["reset"]
    assert heard(Events(FIRST), FIRST - 1) == []


def test_only_so_much_is_kept() -> None:
    events = events_of(*["step"] * (KEPT + 1))
    assert [event.name for event in heard(events, FIRST + KEPT - 3)] == ["step"] * 3
    assert heard(events, FIRST - 1)[0].name == "reset"


@pytest.mark.parametrize("after", [0, FIRST + 10, FIRST + 2 * BEHIND, FIRST + KEPT, None])
def test_ids_rise_whatever_is_told(after: int | None) -> None:
    async def listen() -> list[Event]:
        events = events_of(*["step"] * (KEPT + 50))
        listener = events.listen(everything, after)
        for _ in range(BEHIND + 20):
            events.publish("step", "alice", "job", None)
        return await told(listener)

    found = [event.id for event in asyncio.run(listen())]
    assert found == sorted(set(found))
    assert found[-1] == FIRST + KEPT + 50 + BEHIND + 20 - 1


def test_who_is_far_behind_is_told_so_and_then_the_newest() -> None:
    async def listen() -> list[Event]:
        events = Events(FIRST)
        listener = events.listen(everything)
        for place in range(BEHIND + 3):
            events.publish("job", "alice", f"job_{place}", None)
        return await told(listener)

    found = asyncio.run(listen())
    assert [event.name for event in found] == ["reset", "job", "job", "job"]
    assert found[-1].job == f"job_{BEHIND + 2}"


def test_one_who_is_slow_holds_up_nobody() -> None:
    async def listen() -> int:
        events = Events(FIRST)
        events.listen(everything)
        quick, count = events.listen(everything), 0
        for _ in range(2 * BEHIND):
            events.publish("step", "alice", "job", None)
            count += (await anext(quick)).name == "step"
        return count

    assert asyncio.run(listen()) == 2 * BEHIND


def test_the_newest_preview_of_a_job_takes_the_place_of_older_ones() -> None:
    async def listen() -> list[tuple[str, str, int]]:
        events = Events(FIRST)
        listener = events.listen(everything)
        for place, (name, job) in enumerate(
            [("preview", "a"), ("step", "a"), ("preview", "b"), ("preview", "a"), ("step", "a")]
        ):
            events.publish(name, "alice", job, place)
        return [(event.name, event.job, event.data) for event in await told(listener)]

    assert asyncio.run(listen()) == [
        ("step", "a", 1),
        ("preview", "b", 2),
        ("preview", "a", 3),
        ("step", "a", 4),
    ]


def test_all_listening_ends_with_the_server() -> None:
    async def listen() -> tuple[list[Event], list[Event]]:
        events = Events(FIRST)
        before = events.listen(everything)
        waiting = asyncio.ensure_future(_collected(before))
        await asyncio.sleep(0)
        events.publish("job", "alice", "job_1", None)
        events.close()
        after = events.listen(everything)
        return await asyncio.wait_for(waiting, 1), await asyncio.wait_for(_collected(after), 1)

    before, after = asyncio.run(listen())
    assert (ids(before), after) == ([(1000, "job")], [])


async def _collected(listener: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in listener]
