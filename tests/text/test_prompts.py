import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclip.errors import RequestError
from unclip.text.prompts import check_prompt, shortened, unknown_words, word_list
from unclip.text.tokenizer import Tokenizer

WORDS = word_list(["A red cube.", "a cat's hat, on a blue-green bus", "two knives and cherries"])
TOKENIZER = Tokenizer.train(["a red cube"], vocab_size=270, context_length=8)


def test_a_sentence_is_trimmed() -> None:
    assert check_prompt("  a red cube\n", TOKENIZER) == "a red cube"


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_sentence_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="the prompt is empty"):
        check_prompt(text, TOKENIZER)


def test_the_longest_sentence_fits_and_one_more_does_not() -> None:
    assert check_prompt("a a a a a a", TOKENIZER)
    with pytest.raises(RequestError, match="has 9 tokens and the model reads 8"):
        check_prompt("a a a a a a a", TOKENIZER)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(RequestError, match="surrogate"):
        check_prompt("a \ud83d cube", TOKENIZER)


@pytest.mark.parametrize("text", ["", " ", "a red cube", "a a a a a a", "  a red\tcube\n", "a \ud83d cube"])
def test_a_sentence_that_is_read_whole_is_not_shortened(text: str) -> None:
    assert shortened(text, TOKENIZER) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a a a a a a a", "a a a a a a"),
        ("a red cube a red cube a red cube a red cube", "a red cube a red cube"),
        ("a a a a a xyz", "a a a a a"),  # the third letter of a word has no place
        ("a a a a a a\na", "a a a a a a"),
        ("  \n" + "x" * 50, "xxxxx"),
        ("x" * 50 + " cube", "xxxxx"),
        ("a " + "x" * 50, "a"),
    ],
)
def test_a_sentence_is_shortened_by_whole_words(text: str, expected: str) -> None:
    assert shortened(text, TOKENIZER) == expected


@given(st.text(alphabet=st.sampled_from("a redcubé\n\t\u3000\U0001f34e,"), max_size=60))
def test_a_shortened_sentence_is_its_beginning_and_the_model_reads_it(text: str) -> None:
    found = shortened(text, TOKENIZER)
    assert TOKENIZER.count(found) <= TOKENIZER.context_length
    assert text.lstrip().startswith(found.lstrip())
    assert bool(found.strip()) == bool(text.strip())
    assert shortened(found, TOKENIZER) == found


def test_the_word_list_is_in_order_and_lower_case() -> None:
    assert " ".join(WORDS) == "a and blue bus cat cherries cube green hat knives on red two"


@pytest.mark.parametrize(
    "text",
    ["", "!?", "Red CUBES", "a hat's cube", "a cherry and two buses", "two cats", "cat\u2019s", "blue-red"],
)
def test_known_words_raise_nothing(text: str) -> None:
    assert unknown_words(text, WORDS) == {}


def test_unknown_words_stand_in_the_order_of_the_sentence_once_each() -> None:
    assert list(unknown_words("zebra red aardvark zebra", WORDS)) == ["zebra", "aardvark"]


def test_unknown_words_come_with_the_nearest_known() -> None:
    assert unknown_words("a bleu cubee", WORDS) == {"bleu": ("blue",), "cubee": ("cube",)}
    assert unknown_words("rad", ["red", "rod", "raid", "zebra", "rat"]) == {"rad": ("raid", "rod", "red")}


@pytest.mark.parametrize("word", ["bu", "is", "gras", "xyz"])
def test_a_chance_likeness_does_not_make_a_word_known(word: str) -> None:
    assert list(unknown_words(word, ["a", "i", "grass", "bus"])) == [word]
