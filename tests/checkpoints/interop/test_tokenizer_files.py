import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel

from unclip.checkpoints.interop.clip_tokenizer import read_tokenizer
from unclip.checkpoints.interop.tokenizer_files import write_tokenizer
from unclip.text.tokenizer import END, PAD, START, Tokenizer

transformers = pytest.importorskip("tiny_diffusers").transformers

LENGTH = 20
SENTENCES = ["A Red  cube, on a BLUE cube!", "<end> of <pad>", "", "an apple " * 40]


def numbers(tokenizer: Any) -> tuple[list[list[int]], list[list[int]]]:
    """Return ids and mask of the sentences, from transformers' tokenizer as pipelines call it."""
    said = tokenizer(SENTENCES, padding="max_length", max_length=LENGTH, truncation=True)
    return said.input_ids, said.attention_mask


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return Tokenizer.train(["a red cube on a blue cube", "an apple"], vocab_size=290, context_length=LENGTH)


@pytest.fixture
def clips(tmp_path: Path) -> Tokenizer:
    """CLIP's tokenizer with one merge, which pads with "!" as Karlo's does."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "re", "<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\n")
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "!"}))
    return read_tokenizer(folder, LENGTH)


def test_a_trained_tokenizer_says_the_same_in_transformers(own: Tokenizer, tmp_path: Path) -> None:
    last = own.vocab_size - 1
    written = write_tokenizer(tmp_path, own)
    assert written.class_name == "PreTrainedTokenizerFast"
    assert written.exchanged == (END, last)
    assert written.ids == {"bos_token_id": START, "eos_token_id": last, "pad_token_id": PAD}
    there = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert there.model_max_length == LENGTH
    assert {
        f"{role}_id": getattr(there, f"{role}_id") for role in ("bos_token", "eos_token", "pad_token")
    } == (written.ids)

    ids, mask = numbers(there)
    expected = own(SENTENCES)
    swapped = torch.arange(own.vocab_size)
    swapped[[END, last]] = torch.tensor([last, END])
    assert torch.equal(torch.tensor(ids), swapped[expected.tokens])
    assert torch.equal(torch.tensor(mask).bool(), expected.mask)
    # Where the highest id is, as old versions ask, is the end.
    assert torch.equal(torch.tensor(ids).argmax(dim=1), expected.mask.sum(dim=1) - 1)


def test_a_trained_tokenizer_is_read_back(own: Tokenizer, tmp_path: Path) -> None:
    write_tokenizer(tmp_path, own)
    again = read_tokenizer(tmp_path, LENGTH)
    there = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert again(SENTENCES).tokens.tolist() == numbers(there)[0]
    assert again.count("an apple " * 40) == own.count("an apple " * 40)
    # What was exchanged needs no exchange, and so comes back byte by byte.
    assert write_tokenizer(tmp_path / "twice", again).exchanged is None
    for file in tmp_path.glob("*.json"):
        assert (tmp_path / "twice" / file.name).read_bytes() == file.read_bytes()


def test_clips_tokenizer_stays_as_it_is(clips: Tokenizer, tmp_path: Path) -> None:
    written = write_tokenizer(tmp_path / "out", clips)
    assert (written.class_name, written.exchanged) == ("CLIPTokenizer", None)
    assert written.ids == {"bos_token_id": 513, "eos_token_id": 514, "pad_token_id": 0}
    there = transformers.CLIPTokenizer.from_pretrained(tmp_path / "out")
    expected = clips(SENTENCES)
    assert numbers(there) == (expected.tokens.tolist(), expected.mask.int().tolist())
    assert read_tokenizer(tmp_path / "out", LENGTH)(SENTENCES).tokens.tolist() == expected.tokens.tolist()


def test_old_versions_find_the_parts_of_clips_tokenizer(clips: Tokenizer, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "out", clips)
    (tmp_path / "out" / "tokenizer.json").unlink()
    there = transformers.CLIPTokenizer.from_pretrained(tmp_path / "out")
    expected = clips(SENTENCES)
    assert numbers(there) == (expected.tokens.tolist(), expected.mask.int().tolist())
    given, out = (
        (json.loads((folder / "vocab.json").read_text()), (folder / "merges.txt").read_text())
        for folder in (tmp_path / "given", tmp_path / "out")
    )
    assert given == out


def test_a_trained_tokenizer_is_written_for_old_versions_too(own: Tokenizer, tmp_path: Path) -> None:
    """tokenizers below 0.20 reads no merges as pairs, transformers below 5 overrules the file's prefix."""
    write_tokenizer(tmp_path, own)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["add_prefix_space"] is settings["split_special_tokens"] is True
    merges = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    assert merges
    assert all(len(merge.split(" ")) == 2 for merge in merges)
