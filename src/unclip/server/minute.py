"""How fast a key may go: pictures in any minute, of jobs that were not cancelled and have not failed."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from unclip.records.jobs import Jobs

SECONDS = 60.0


@dataclass(frozen=True)
class Minute:
    """What was promised in the last minute."""

    limit: int
    spent: Sequence[tuple[float, int]]  # when, in unix seconds, and how many pictures; the oldest first
    now: float

    @property
    def used(self) -> int:
        """How many pictures."""
        return sum(count for _, count in self.spent)

    @property
    def remaining(self) -> int:
        """How many more may be asked for now."""
        return max(0, self.limit - self.used)

    @property
    def reset(self) -> float:
        """When all of the limit is free again, if nothing more comes."""
        return max((when for when, _ in self.spent), default=self.now - SECONDS) + SECONDS

    def seconds_until(self, n: int) -> int:
        """Return how long it is until so many pictures, no more than the limit, may be asked for."""
        free = self.limit - self.used
        for when, count in self.spent:
            free += count
            if free >= n:
                return max(1, math.ceil(when + SECONDS - self.now))
        return 1


def minute_of(jobs: Jobs, owner: str, limit: int) -> Minute:
    """Look up what an owner was promised in the last minute."""
    now = time.time()
    return Minute(limit, jobs.spent(owner, now - SECONDS), now)
