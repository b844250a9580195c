"""GenEval's rules on hand-made sights; the numbers follow from the definition."""

import pytest

from unclip.evaluation.rules import (
    COUNTING_THRESHOLD,
    Box,
    Clause,
    Detection,
    Sight,
    Wanted,
    directions,
    is_right,
)

LEFT, RIGHT = (0.1, 0.4, 0.3, 0.6), (0.7, 0.4, 0.9, 0.6)


def thing(concept: str, box: Box = LEFT, score: float = 0.95, colour: str = "red") -> Detection:
    return Detection(concept, score, box, colour)


def sight(*things: Detection) -> Sight:
    return Sight(things, "flat", "beach")


def test_an_object_must_be_there_with_confidence() -> None:
    wanted = Wanted((Clause("cat"),))
    assert is_right(wanted, sight(thing("cat", score=0.31)))
    assert not is_right(wanted, sight(thing("cat", score=0.29)))
    assert not is_right(wanted, sight(thing("dog")))
    assert is_right(wanted, sight(thing("cat"), thing("cat"), thing("dog")))  # more does no harm


def test_concepts_that_look_alike_count_as_one() -> None:
    assert is_right(Wanted((Clause("camel"),)), sight(thing("two-humped camel")))
    assert is_right(Wanted((Clause("two-humped camel"),)), sight(thing("camel")))
    assert not is_right(Wanted((Clause("camel", 2),)), sight(thing("two-humped camel")))


def test_counting_is_exact_and_asks_for_more_confidence() -> None:
    wanted = Wanted((Clause("cat", 2),), exactly=True)
    assert is_right(wanted, sight(thing("cat"), thing("cat")))
    assert not is_right(wanted, sight(thing("cat")))
    assert not is_right(wanted, sight(thing("cat"), thing("cat"), thing("cat")))
    assert is_right(wanted, sight(thing("cat"), thing("cat"), thing("cat", score=COUNTING_THRESHOLD)))


def test_colours_are_asked_of_the_surest_things() -> None:
    wanted = Wanted((Clause("cat", colour="blue"), Clause("dog", colour="red")))
    blue = thing("cat", colour="blue")
    assert is_right(wanted, sight(blue, thing("dog")))
    assert not is_right(wanted, sight(blue, thing("dog", colour="blue")))
    assert not is_right(wanted, sight(thing("cat", score=0.96), blue, thing("dog")))
    assert is_right(wanted, sight(thing("cat", score=0.9), blue, thing("dog")))


def test_style_and_background() -> None:
    assert is_right(Wanted(style="flat", background="beach"), sight())
    assert not is_right(Wanted(style="3d"), sight())
    assert not is_right(Wanted(background="snow"), sight())


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        ((0.0, 0.4, 0.2, 0.6), {"left of"}),
        ((0.8, 0.4, 1.0, 0.6), {"right of"}),
        ((0.4, 0.0, 0.6, 0.2), {"above"}),
        ((0.4, 0.8, 0.6, 1.0), {"below"}),
        ((0.0, 0.0, 0.2, 0.2), {"left of", "above"}),
        ((0.42, 0.4, 0.62, 0.6), set[str]()),  # within the margin of .1 x (.2 + .2)
        ((0.4, 0.4, 0.6, 0.6), set[str]()),
    ],
)
def test_directions_from_a_box_in_the_middle(one: Box, expected: set[str]) -> None:
    assert directions(one, (0.4, 0.4, 0.6, 0.6)) == expected


def test_a_relation_is_to_an_earlier_clause() -> None:
    wanted = Wanted((Clause("dog"), Clause("cat", relation="left of", to=0)))
    assert is_right(wanted, sight(thing("cat", LEFT), thing("dog", RIGHT)))
    assert not is_right(wanted, sight(thing("cat", RIGHT), thing("dog", LEFT)))
    assert not is_right(wanted, sight(thing("cat", LEFT)))


@pytest.mark.parametrize("relation", ["on top of", "riding"])
def test_what_stands_on_something_touches_it_from_above(relation: str) -> None:
    wanted = Wanted((Clause("dog"), Clause("cat", relation=relation, to=0)))
    below = thing("dog", (0.3, 0.5, 0.7, 0.9))
    assert is_right(wanted, sight(below, thing("cat", (0.4, 0.1, 0.6, 0.5))))
    assert not is_right(wanted, sight(below, thing("cat", (0.4, 0.0, 0.6, 0.3))))  # in the air
    assert not is_right(wanted, sight(below, thing("cat", (0.0, 0.1, 0.2, 0.5))))  # beside it
    assert not is_right(wanted, sight(thing("dog", (0.4, 0.1, 0.6, 0.5)), thing("cat", below.box)))


def test_inside_and_wearing() -> None:
    basket, ball = thing("basket", (0.2, 0.4, 0.8, 0.9)), thing("ball", (0.4, 0.3, 0.6, 0.6))
    assert is_right(Wanted((Clause("basket"), Clause("ball", relation="inside"))), sight(basket, ball))
    above = thing("ball", (0.4, 0.0, 0.6, 0.3))
    assert not is_right(Wanted((Clause("basket"), Clause("ball", relation="inside"))), sight(basket, above))
    hat, bear = thing("hat", (0.35, 0.1, 0.65, 0.35)), thing("bear", (0.25, 0.3, 0.75, 0.95))
    wearing = Wanted((Clause("hat"), Clause("bear", relation="wearing")))
    assert is_right(wearing, sight(hat, bear))
    assert not is_right(wearing, sight(thing("hat", (0.0, 0.6, 0.2, 0.8)), bear))
