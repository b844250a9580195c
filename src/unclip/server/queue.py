"""Whose job is next: priorities first, then those who have the least, in turn."""

from collections import Counter, deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A job in the queue."""

    job: str
    owner: str
    priority: int = 0


class FairQueue:
    """Jobs that wait. Of the highest priority, the owner with the fewest under way is next, then in turn."""

    def __init__(self) -> None:
        self._owners = dict[tuple[int, str], deque[Waiting]]()  # in the order of being served
        self._where = dict[str, Waiting]()

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, job: str) -> bool:
        return job in self._where

    def add(self, waiting: Waiting, first: bool = False) -> None:
        """Put a job behind the others of its owner, or before them."""
        line = self._owners.setdefault((waiting.priority, waiting.owner), deque())
        if first:
            line.appendleft(waiting)
        else:
            line.append(waiting)
        self._where[waiting.job] = waiting

    def remove(self, job: str) -> bool:
        """Take a job out. False: it is not here."""
        waiting = self._where.pop(job, None)
        if waiting is None:
            return False
        place = (waiting.priority, waiting.owner)
        self._owners[place].remove(waiting)
        if not self._owners[place]:
            del self._owners[place]
        return True

    def next(self, under_way: Counter[str]) -> Waiting | None:
        """Take out the job that is next, given how many of each owner are under way; None: nothing waits."""
        if not self._owners:
            return None
        highest = max(priority for priority, _ in self._owners)
        places = [place for place in self._owners if place[0] == highest]
        place = min(places, key=lambda place: under_way[place[1]])  # the first of equals
        line = self._owners.pop(place)
        waiting = line.popleft()
        if line:
            self._owners[place] = line  # behind all others
        del self._where[waiting.job]
        return waiting

    def position(self, job: str, under_way: Counter[str]) -> int | None:
        """Return how many jobs are served before this one if nothing more comes, from 0; None: not here."""
        return self.order(under_way).index(job) if job in self._where else None

    def order(self, under_way: Counter[str]) -> list[str]:
        """Return all jobs in the order in which they are served if nothing more comes."""
        copy, order, counts = FairQueue(), list[str](), Counter(under_way)
        copy._owners = {place: deque(line) for place, line in self._owners.items()}
        copy._where = dict(self._where)
        while (waiting := copy.next(counts)) is not None:
            counts[waiting.owner] += 1
            order.append(waiting.job)
        return order
