from collections.abc import Sequence

import pytest

from unclip.server.policy.confusables import fold
from unclip.server.policy.spelling import is_number, letters_of, pattern


def places(listed: Sequence[str], text: str) -> list[int | None]:
    return [match.lastindex for match in pattern(listed).finditer(fold(text))]


def test_group_k_is_the_kth_word() -> None:
    assert places(["blood", "bone", "gut"], "guts, gut, bone and blood") == [3, 2, 1]


@pytest.mark.parametrize("text", ["bl00d", "8lood", "b1ood", "8100D", "b|ood", "BL0OD"])
def test_digits_and_signs_stand_for_letters(text: str) -> None:
    assert places(["blood"], text) == [1]


@pytest.mark.parametrize("text", ["@ss", "a$$", "a55", "4ss"])
def test_signs_at_the_ends_of_a_word_are_letters_of_it(text: str) -> None:
    assert places(["ass"], text) == [1]


@pytest.mark.parametrize(
    "text", ["b.l.o.o.d", "b l o o d", "b-l-o-o-d", "b_l_o_o_d", "b * l * o * o * d", "B. L. 0. 0. D"]
)
def test_letters_are_spelled_out(text: str) -> None:
    assert places(["blood"], text) == [1]


@pytest.mark.parametrize("text", ["bl.ood", "b.lo.od", "b....l....o....o....d", "b l o o dy"])
def test_a_word_is_spelled_out_whole_or_not_at_all(text: str) -> None:
    assert places(["blood"], text) == []


def test_initials_are_no_spelled_out_word() -> None:
    assert places(["ss"], "the S.S. Great Britain") == []
    assert places(["ss"], "ss") == [1]


@pytest.mark.parametrize("text", ["red  car", "red-car", "red_car", "redcar", "RED, car", "r e d c a r"])
def test_words_of_a_phrase_may_be_joined_in_any_way(text: str) -> None:
    assert places(["red car"], text) == [1]


@pytest.mark.parametrize("text", ["red cars", "bored car", "red blue car", "redcarpet"])
def test_a_phrase_is_found_whole_or_not_at_all(text: str) -> None:
    assert places(["red car"], text) == []


@pytest.mark.parametrize(
    ("word", "text"),
    [("血", "血の海"), ("ฆ่า", "คนฆ่าคน"), ("殺", "自殺する"), ("がす", "どくがすの")],
)
def test_scripts_that_part_no_words_are_searched_within(word: str, text: str) -> None:
    assert places([word], text) == [1]


@pytest.mark.parametrize(("word", "text"), [("मर", "मरी"), ("мир", "мирный"), ("кот", "скот")])
def test_other_scripts_have_words_too(word: str, text: str) -> None:
    assert places([word], text) == []
    assert places([word], f"{text} {word}!") == [1]


def test_a_number_is_found_as_a_whole_number() -> None:
    assert places(["1488"], "1488") == [1]
    assert places(["1488"], "14880 or 21488") == []


def test_numbers_are_told_from_words() -> None:
    assert is_number("455")
    assert not is_number("a55")


def test_letters_of_a_phrase_are_folded() -> None:
    assert letters_of("Sëvered-Head 2") == "severedhead2"
    assert letters_of("*** !") == ""


def test_no_text_takes_long() -> None:
    listed = [
        f"{first}{second}{third}word" for first in "abcdef" for second in "abcdef" for third in "abcdef"
    ]
    found = pattern(listed)
    for text in ("b-" * 2000, "a " * 2000, "aaa" * 1500, "ab.." * 1000):
        assert not found.search(text)
