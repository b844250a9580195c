"""From what a judge saw to a table of scores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from unclip.evaluation.metrics import Interval, bootstrap
from unclip.evaluation.rules import Sight, is_right
from unclip.evaluation.suite import TASKS, Item

Sights = Sequence[Sequence[Sight]]
"""What was seen in each picture of each sentence."""


@dataclass(frozen=True)
class Score:
    """How often a task was done right, over all pictures of all its sentences."""

    task: str
    unseen: bool
    sentences: int
    right: Interval


def scores(items: Sequence[Item], sights: Sights) -> list[Score]:
    """Score every task by its rule, seen and unseen combinations apart, in the order of `TASKS`."""
    found = list[Score]()
    for task in TASKS:
        for unseen in (False, True):
            rows = [
                [is_right(item.wanted[task], sight) for sight in seen]
                for item, seen in zip(items, sights, strict=True)
                if task in item.wanted and item.unseen == unseen
            ]
            if rows:
                right = bootstrap(torch.tensor(rows, dtype=torch.float32))
                found.append(Score(task, unseen, len(rows), right))
    return found


def by_chance(items: Sequence[Item], sights: Sights) -> list[Score]:
    """Score each sentence on the pictures of the next one of its kind: what a model that cannot read gets."""
    return scores(items, [seen for group in _by_kind(items, sights) for seen in (*group[1:], group[0])])


def _by_kind(items: Sequence[Item], sights: Sights) -> Iterator[list[Sequence[Sight]]]:
    pairs = zip(items, sights, strict=True)
    for _, group in groupby(pairs, key=lambda pair: (tuple(pair[0].wanted), pair[0].unseen)):
        yield [seen for _, seen in group]
