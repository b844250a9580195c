# ruff: noqa: RUF001
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import characters, text

from unclip.errors import RequestError
from unclip.server.policy.words import Entry, WordFile, WordList


def listed(*words: str) -> WordList:
    return WordList(tuple(Entry(each) for each in words))


def write(path: Path, text: str, age: int = 0) -> Path:
    """Write a list whose time of change is so many seconds ago, however coarse the clock of the disk is."""
    path.write_text(text, "utf-8")
    then = 1_700_000_000 - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("cunt", "a street in Scunthorpe"),
        ("rape", "a bunch of grapes and a grape, draped"),
        ("ass", "an assassin in a classic glass, passing"),
        ("hell", "hello, a shell"),
        ("sex", "a cottage in Essex, a sextant"),
        ("cock", "a cockpit, a peacock and a cocktail"),
        ("dick", "a Dickensian street"),
        ("tit", "a title on the Titanic"),
        ("anal", "a canal, to be analysed"),
        ("gun", "the penguin has begun"),
        ("ass", "flight 455"),
        ("porn", "a popcorn stand"),
    ],
)
def test_longer_words_and_numbers_are_not_hit(word: str, text: str) -> None:
    assert listed(word).found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Blood!",
        "(blood)",
        "blood's",
        "blood_bath",
        "blood2",
        "in b.l.o.o.d",
        "b l 0 0 d",
        "bl\u200bood",
        "blооd on snow",  # Cyrillic o
        "ｂｌｏｏｄ",
        "b.l.ο.ο.d",  # Greek o, spelled out
    ],
)
def test_a_word_is_found_as_it_may_be_written(text: str) -> None:
    assert listed("blood").found(text) == ["blood"]


def test_what_is_found_is_named_as_listed_once_and_in_the_order_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "words.txt", "plain\n[violence] # of people\nBlood  Bath\nknife\n[other]\nacme\n")
    words = WordList.from_file(path)
    assert words.found("ACME: a knife, a kn1fe, a bloodbath") == [
        "other: acme",
        "violence: knife",
        "violence: Blood Bath",
    ]
    assert words.found("a plain sentence") == ["plain"]


def test_where_two_fit_the_longer_one_is_found() -> None:
    assert listed("red", "red car").found("a red car and a red bus") == ["red car", "red"]


def test_comments_empty_lines_and_a_byte_order_mark_are_no_words(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeff# a list\r\n\r\n  one two # three\r\n".encode())
    assert WordList.from_file(path).entries == (Entry("one two"),)


def test_an_empty_list_finds_nothing(tmp_path: Path) -> None:
    assert WordList.from_file(write(tmp_path / "words.txt", "# none\n")).found("anything") == []


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"one\n***\n", 2, "no letter or digit"),
        (b"one\n\n[violence\n", 3, "no category"),
        (b"[]\n", 1, "no category"),
        (b"one\ntw\xff\n", 2, "UTF-8"),
    ],
)
def test_a_bad_file_is_refused_by_its_line(tmp_path: Path, text: bytes, line: int, what: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(text)
    with pytest.raises(RequestError, match=rf"words\.txt, line {line}: .*{what}"):
        WordList.from_file(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        WordList.from_file(tmp_path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "words.txt", "one\n", age=10)
    words = WordFile(path)
    assert words.current().found("one two") == ["one"]
    write(path, "two\n")
    assert words.current().found("one two") == ["two"]


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    words = WordFile(write(tmp_path / "words.txt", "one\n"))
    assert words.current() is words.current()


def test_a_file_that_breaks_or_goes_leaves_the_list_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "words.txt", "one\n", age=10)
    words = WordFile(path)
    write(path, "***\n")
    with caplog.at_level(logging.WARNING):
        assert words.current().found("one") == ["one"]
        assert words.current().found("one") == ["one"]
        path.unlink()
        assert words.current().found("one") == ["one"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "line 1" in caplog.text


def test_without_a_file_the_shipped_list_is_used_until_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    words = WordFile(path)
    assert words.current() == WordFile().current() == WordList.default()
    write(path, "one\n")
    assert words.current().found("one, porn") == ["one"]


def test_a_bad_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="line 1"):
        WordFile(write(tmp_path / "words.txt", "***\n"))


def test_the_shipped_list_has_categories_and_no_entry_twice() -> None:
    entries = WordList.default().entries
    assert {entry.category for entry in entries} == {"violence", "sexual", "hate"}
    assert len({entry.words for entry in entries}) == len(entries)
    assert len(entries) < 100


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a severed head on a stake", ["violence: severed head"]),
        ("p0rn0graphic poster", ["sexual: pornographic"]),
        ("a N.A.Z.I. s.a.l.u.t.e", ["hate: nazi salute"]),
    ],
)
def test_the_shipped_list_finds(text: str, found: list[str]) -> None:
    assert WordFile().current().found(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "a nude colour palette, a naked mole rat",
        "the master of the race, a power station in white",
        "Al Gore in a Gore-Tex coat",
        "a red blood moon over Essex",
        "a statue of David",
        "a category, a gorilla, a glory",
        "Middlesex county fair, adult education, breast cancer awareness",
        "a cat and a dog kill time at a cocktail bar",
    ],
)
def test_the_shipped_list_leaves_harmless_sentences_alone(text: str) -> None:
    assert WordFile().current().found(text) == []


@given(text(characters()), text(characters()))
def test_a_word_is_found_between_any_others(before: str, after: str) -> None:
    assert "word" in listed("word").found(f"{before} -- word. {after}")
