from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclip.server.queue import FairQueue, Waiting

NOBODY = Counter[str]()


def queue_of(*jobs: str, priority: int = 0) -> FairQueue:
    """A queue of jobs whose first letter is their owner."""
    queue = FairQueue()
    for job in jobs:
        queue.add(Waiting(job, job[0], priority))
    return queue


def served(queue: FairQueue, under_way: Counter[str] = NOBODY) -> list[str]:
    """All jobs in the order of being served, while those before them are still under way."""
    counts, order = Counter(under_way), list[str]()
    while (waiting := queue.next(counts)) is not None:
        counts[waiting.owner] += 1
        order.append(waiting.job)
    return order


def one_by_one(queue: FairQueue) -> list[str]:
    """The same where each job has ended before the next is begun."""
    order = list[str]()
    while (waiting := queue.next(NOBODY)) is not None:
        order.append(waiting.job)
    return order


def test_jobs_of_one_owner_are_served_in_their_order() -> None:
    assert served(queue_of("a1", "a2", "a3")) == ["a1", "a2", "a3"]


@pytest.mark.parametrize("serve", [served, one_by_one])
def test_owners_are_served_in_turn_however_much_one_asks_for(serve: Callable[[FairQueue], list[str]]) -> None:
    queue = queue_of("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    assert serve(queue) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_who_comes_later_is_served_before_who_had_much() -> None:
    queue = queue_of("a1", "a2", "a3")
    assert queue.next(NOBODY) == Waiting("a1", "a")
    queue.add(Waiting("b1", "b"))
    assert one_by_one(queue) == ["a2", "b1", "a3"]


def test_who_has_the_fewest_under_way_is_next() -> None:
    assert served(queue_of("a1", "a2", "b1", "b2"), Counter(a=2, b=1)) == ["b1", "a1", "b2", "a2"]
    assert served(queue_of("a1", "b1"), Counter(a=1)) == ["b1", "a1"]


def test_a_higher_priority_is_always_first() -> None:
    queue = queue_of("a1", "b1")
    for job, priority in (("a2", 1), ("c1", -1), ("a3", 1)):
        queue.add(Waiting(job, job[0], priority))
    assert served(queue, Counter(a=5)) == ["a2", "a3", "b1", "a1", "c1"]


def test_a_job_that_comes_back_is_before_the_others_of_its_owner() -> None:
    queue = queue_of("a2", "b1")
    queue.add(Waiting("a1", "a"), first=True)
    assert one_by_one(queue) == ["a1", "b1", "a2"]


def test_a_job_is_taken_out_wherever_it_is() -> None:
    queue = queue_of("a1", "a2", "b1")
    assert queue.remove("a2")
    assert not queue.remove("a2")
    assert not queue.remove("z1")
    assert ("a1" in queue, "a2" in queue, len(queue)) == (True, False, 2)
    assert queue.remove("b1")
    assert one_by_one(queue) == ["a1"]
    assert queue.next(NOBODY) is None
    assert len(queue) == 0


def test_an_empty_queue_has_nothing_next() -> None:
    assert FairQueue().next(NOBODY) is None
    assert FairQueue().order(NOBODY) == []
    assert FairQueue().position("a1", NOBODY) is None


JOBS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12)


@given(JOBS, st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)), st.sets(st.integers(0, 11)))
def test_the_order_that_is_told_is_the_order_of_being_served(
    jobs: list[tuple[str, int]], under_way: dict[str, int], removed: set[int]
) -> None:
    queue, counts = FairQueue(), Counter(under_way)
    for place, (owner, priority) in enumerate(jobs):
        queue.add(Waiting(f"{owner}{place}", owner, priority))
    for place in removed & set(range(len(jobs))):
        assert queue.remove(f"{jobs[place][0]}{place}")
    told = queue.order(counts)
    assert len(told) == len(queue) == len(jobs) - len(removed & set(range(len(jobs))))
    assert [queue.position(job, counts) for job in told] == list(range(len(told)))
    assert queue.order(counts) == told  # and telling it changes nothing
    assert served(queue, counts) == told


@given(JOBS)
def test_nobody_waits_for_more_than_a_turn_of_everybody_else(jobs: list[tuple[str, int]]) -> None:
    queue = FairQueue()
    for place, (owner, _) in enumerate(jobs):
        queue.add(Waiting(f"{owner}{place}", owner))
    order = one_by_one(queue)
    for owner in "abc":
        places = [place for place, job in enumerate(order) if job[0] == owner]
        gaps = [later - earlier for earlier, later in pairwise([-1, *places])]
        assert all(gap <= 3 for gap in gaps)
