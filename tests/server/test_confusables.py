# ruff: noqa: RUF001
import pytest
from hypothesis import given
from hypothesis.strategies import characters, text

from unclip.server.policy.confusables import fold


@pytest.mark.parametrize(
    "text",
    [
        "BLOOD",
        "ｂｌｏｏｄ",  # full width
        "𝐛𝓵𝖔𝚘𝕕",  # mathematical alphabets
        "ⓑⓛⓞⓞⓓ",
        "🅑🅻🅾🅾🅳",
        "🇧🇱🇴🇴🇩",
        "blооd",  # Cyrillic o
        "bloοd",  # Greek omicron
        "Вlood",  # Cyrillic ve
        "ʙʟᴏᴏᴅ",
        "blöôd̶",  # accents, and a stroke through the last letter
        "bløød",
        "ƁLOOĐ",
        "b\u200bl\u200do\u2060o\ufeffd",  # of no width
        "bl\u00adood",  # soft hyphen
        "\u202eblood\u202c",  # directions
        "b\u034fl\ufe0food",  # joiner, variation selector
        "bl\u3164oo\x00d",  # filler, control character
    ],
)
def test_what_is_read_as_one_word_is_one_word(text: str) -> None:
    assert fold(text) == "blood"


def test_greek_capitals_are_read_as_what_they_look_like() -> None:
    assert fold("ΝΗΡ") == "nhp"  # as small letters they look like v, n and p
    assert fold("νηρ") == "vnp"


@pytest.mark.parametrize("text", ["красный", "ガス", "ฆ่า", "मरी", "한국"])
def test_other_scripts_are_folded_the_same_way_each_time(text: str) -> None:
    assert fold(text)
    assert fold(fold(text)) == fold(text)


def test_vowels_of_indic_and_thai_words_stay() -> None:
    assert fold("मरी") == "मरी"
    assert fold("ฆ่า") == "ฆ่า"


def test_unwritten_vowels_of_hebrew_and_arabic_go() -> None:
    assert fold("דָּם") == fold("דם")
    assert fold("دَمـ") == fold("دم")


def test_spaces_and_line_ends_stay() -> None:
    assert fold("a\tb\nc d") == "a\tb\nc d"


@given(text(characters()))
def test_what_is_folded_stays_as_it_is(text: str) -> None:
    assert fold(fold(text)) == fold(text)
