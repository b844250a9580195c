from collections import Counter

from unclip.world import Sprites
from unclip.world.concepts import SOLIDS, listed
from unclip.world.scene import PARTS
from unclip.world.words import STYLES


def test_no_name_and_no_drawing_stands_twice() -> None:
    concepts = (*listed(), *SOLIDS)
    for things in (
        [name for concept in concepts for name in concept.names],
        [concept.art for concept in listed()],
    ):
        assert [thing for thing, count in Counter(things).items() if count > 1] == []


def test_anchors_are_given_for_every_style_and_lie_on_the_drawing() -> None:
    for concept in listed():
        for places in concept.anchors.values():
            assert len(places) == len(STYLES)
            assert all(0 <= place <= 1 for place in places)


def test_who_wears_has_a_brow_and_eyes() -> None:
    assert all({"brow", "eyes"} <= concept.parts for concept in listed() if "wear" in concept.does)


def test_every_part_of_a_relation_is_played_by_some_of_the_first_sixty() -> None:
    played = frozenset().union(*(concept.parts for concept in listed()[:60]))
    assert {part for pair in PARTS.values() for part in pair} <= played


def test_the_sample_draws_the_first_concepts(sprites: Sprites) -> None:
    assert all(sprites.has(concept) for concept in listed()[:64])
