import json
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unclip.errors import CheckpointError
from unclip.text.tokenizer import END, PAD, START, Tokenizer

CAPTIONS = [
    f"a {colour} {thing}" for colour in ("red", "blue", "green") for thing in ("cube", "cat", "teapot")
]
TOKENIZER = Tokenizer.train(CAPTIONS, vocab_size=280, context_length=10)


def ids(text: str) -> list[int]:
    encoded = TOKENIZER([text])
    return encoded.tokens[encoded.mask].tolist()


@given(st.lists(st.text(), max_size=4))
def test_every_sentence_is_padded_between_its_marks(texts: list[str]) -> None:
    encoded = TOKENIZER(texts)
    assert encoded.tokens.shape == encoded.mask.shape == (len(texts), 10)
    for row, mask in zip(encoded.tokens, encoded.mask, strict=True):
        length = int(mask.sum())
        assert mask[:length].all()
        assert row[0] == START
        assert row[length - 1] == END
        assert (row[1 : length - 1] > END).all()
        assert (row[length:] == PAD).all()


@given(st.text(max_size=200))
def test_count_is_the_length_before_cutting(text: str) -> None:
    assert min(TOKENIZER.count(text), 10) == len(ids(text))


@given(st.text(alphabet="abc ", max_size=12), st.text(alphabet="abc ", max_size=12))
def test_counts_of_words_add_up(left: str, right: str) -> None:
    marks = 2
    together = TOKENIZER.count(f"{left}, {right}") - marks
    assert together == TOKENIZER.count(f"{left},") + TOKENIZER.count(right) - 2 * marks


def test_cutting_keeps_the_first_tokens_and_the_end() -> None:
    long = ids("a red cat " * 20)
    assert (len(long), long[-1]) == (10, END)
    assert long[:4] == ids("a red cat")[:4]


def test_no_words_are_the_marks_alone() -> None:
    assert ids("") == ids(" \n") == [START, END]


def test_case_spaces_and_unicode_form_do_not_matter() -> None:
    accented = "café"
    assert ids("  A Red\n CUBE ") == ids("a red cube")
    assert ids(unicodedata.normalize("NFD", accented)) == ids(accented) != ids("cafe")


def test_a_first_word_is_like_any_other() -> None:
    assert ids("cat")[1:-1] == ids("a cat")[2:-1]


@pytest.mark.parametrize("mark", ["<pad>", "<start>", "<end>"])
def test_a_sentence_cannot_spell_a_mark(mark: str) -> None:
    assert min(ids(mark)[1:-1]) > END


def test_training_learns_frequent_words_and_holds_every_byte() -> None:
    assert TOKENIZER.vocab_size == 280
    assert len(ids("a red cat")) < len("a red cat")
    assert TOKENIZER.vocab_size > torch.cat([TOKENIZER([chr(code)]).tokens for code in range(3000)]).max()


def test_training_twice_gives_the_same_file(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    first = (tmp_path / "tokenizer.json").read_bytes()
    Tokenizer.train(iter(CAPTIONS), vocab_size=280, context_length=10).save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == first


def test_one_file_holds_it_all(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    assert (loaded.vocab_size, loaded.context_length) == (280, 10)
    assert torch.equal(loaded(["<end> a red cube"]).tokens, TOKENIZER(["<end> a red cube"]).tokens)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer.load(tmp_path)


def test_a_file_without_context_length_is_refused(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation": None}))
    with pytest.raises(CheckpointError, match="sets no context length"):
        Tokenizer.load(tmp_path)


def test_a_vocabulary_smaller_than_the_bytes_is_refused() -> None:
    with pytest.raises(AssertionError, match="258 tokens do not hold every byte"):
        Tokenizer.train(CAPTIONS, vocab_size=258, context_length=10)
