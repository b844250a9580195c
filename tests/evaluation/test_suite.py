"""The suite's sentences, and its rules on scenes as the world lays them out."""

from collections import Counter
from collections.abc import Sequence

import pytest

from unclip.evaluation.rules import Clause, is_right
from unclip.evaluation.suite import KINDS, TASKS, Item, suite
from unclip.evaluation.truth import sight_of
from unclip.world import Sprites, WorldConfig
from unclip.world.scene import is_heldout


@pytest.fixture(scope="module", params=[False, True], ids=["seen", "unseen"])
def items(request: pytest.FixtureRequest) -> list[Item]:
    return list(suite(WorldConfig(), 40, unseen=request.param))


def test_the_world_itself_is_right_in_every_task(items: list[Item], sprites: Sprites) -> None:
    for item in items:
        for task, wanted in item.wanted.items():
            assert is_right(wanted, sight_of(item.scene, sprites)), (task, item.sentence)


def test_another_scene_is_wrong_in_most(items: list[Item], sprites: Sprites) -> None:
    others = [items[-1], *items[:-1]]
    wrong = Counter[str]()
    for item, other in zip(items, others, strict=True):
        for task, wanted in item.wanted.items():
            wrong[task] += not is_right(wanted, sight_of(other.scene, sprites))
    assert all(wrong[task] >= (0.5 if task == "style" else 0.8) * 40 for task in TASKS), wrong


def test_unseen_scenes_hold_what_training_never_shows(items: list[Item]) -> None:
    assert all(is_heldout(item.scene) == item.unseen for item in items)


def test_every_kind_has_its_sentences_and_they_do_not_change(items: list[Item]) -> None:
    assert len(items) == 40 * len(KINDS)
    assert Counter(task for item in items for task in item.wanted) == dict.fromkeys(TASKS, 40)
    again = suite(WorldConfig(), 40, unseen=items[0].unseen)
    assert [item.sentence for item in again] == [item.sentence for item in items]
    longer = list(suite(WorldConfig(), 41, unseen=items[0].unseen))
    assert longer[:40] == items[:40]


def test_a_sentence_names_its_things(items: list[Item]) -> None:
    for item in items:
        for thing in item.scene.things:
            names = (*thing.concept.names, thing.concept.plural)
            assert any(name.split()[-1][:3] in item.sentence for name in names), item.sentence


@pytest.mark.parametrize("unseen", [False, True])
def test_the_smallest_world_has_scenes_of_every_kind(unseen: bool) -> None:
    assert len(list(suite(WorldConfig(concepts=1), 2, unseen))) == 2 * len(KINDS)


def test_solids_always_have_a_colour_but_only_colour_tasks_ask_for_it(items: list[Item]) -> None:
    solid = [
        (task, thing.colour, clause.colour)
        for item in items
        for task, wanted in item.wanted.items()
        for thing, clause in zip(item.scene.things, sorted_by(wanted.clauses, item), strict=False)
        if not thing.concept.art
    ]
    assert solid
    assert all(colour for _, colour, _ in solid)
    assert all((asked is not None) == task.startswith("colour") for task, _, asked in solid)


def sorted_by(clauses: Sequence[Clause], item: Item) -> list[Clause]:
    """Clauses in the order of the scene's things."""
    names = [thing.concept.name for thing in item.scene.things]
    return sorted(clauses, key=lambda clause: names.index(clause.concept))
