"""Scores of judges that see the truth, and of pictures that belong to other sentences."""

import pytest

from unclip.evaluation.scores import by_chance, scores
from unclip.evaluation.suite import TASKS, Item, suite
from unclip.evaluation.truth import sight_of
from unclip.world import Sprites, WorldConfig


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return [*suite(WorldConfig(), 12, unseen=False), *suite(WorldConfig(), 12, unseen=True)]


def test_the_truth_scores_one_in_every_task_seen_and_unseen(items: list[Item], sprites: Sprites) -> None:
    found = scores(items, [[sight_of(item.scene, sprites)] * 4 for item in items])
    assert [(score.task, score.unseen) for score in found] == [(t, u) for t in TASKS for u in (False, True)]
    assert all((score.right.low, score.right.mean, score.right.high) == (1, 1, 1) for score in found)
    assert all(score.sentences == 12 for score in found)


def test_a_task_counts_pictures_and_ignores_other_tasks(items: list[Item], sprites: Sprites) -> None:
    nothing = sight_of(items[0].scene, sprites)
    nothing = type(nothing)((), nothing.style, "nowhere")
    sights = [[sight_of(item.scene, sprites)] * 3 + [nothing] for item in items]
    by_task = {(score.task, score.unseen): score.right.mean for score in scores(items, sights)}
    assert by_task.pop(("style", False)) >= 0.75
    assert by_task.pop(("style", True)) >= 0.75
    assert set(by_task.values()) == {0.75}


def test_chance_is_low(items: list[Item], sprites: Sprites) -> None:
    found = by_chance(items, [[sight_of(item.scene, sprites)] for item in items])
    assert len(found) == 2 * len(TASKS)
    assert all(score.right.mean < 0.7 for score in found)
    assert sum(score.right.mean for score in found) / len(found) < 0.2
