"""A tokenizer as the files that transformers reads, whether it is CLIP's own or one that was trained here.

Source: huggingface/transformers 5.24, CLIPTokenizer and CLIPTextModel.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, processors

from unclip.checkpoints.configs import read_json, write_json
from unclip.checkpoints.interop.clip_tokenizer import SPLITS, cut_as_clip_does
from unclip.text.tokenizer import Tokenizer

_TAKEN = 2
"""The id that CLIPTextModel takes for an old mistake when it is said to be the end mark's.

It then reads the embedding where the highest id is, which old versions do always.
"""


@dataclass(frozen=True)
class Written:
    """What the rest of a folder must know of its tokenizer."""

    class_name: str  # in transformers
    ids: Mapping[str, int]  # of the marks, by their fields in CLIPTextConfig
    exchanged: tuple[int, int] | None  # ids that have changed places; None: all are as they were


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> Written:
    """Write a tokenizer; an end mark of id 2 changes places with the last token."""
    tokenizer.save(folder)
    values = read_json(folder / "tokenizer.json")
    sentence = tokenizer([""])
    start, end = sentence.tokens[sentence.mask].tolist()
    ids = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": values["padding"]["pad_id"]}
    exchanged = (end, max(values["model"]["vocab"].values())) if end == _TAKEN else None
    if exchanged is not None:
        values, ids = _exchanged(values, ids, *exchanged)

    is_clips = _is_clips(values)
    names = {token["id"]: token["content"] for token in values["added_tokens"]}
    marks = {field.removesuffix("_id"): names[number] for field, number in ids.items()}
    settings: dict[str, Any] = {
        "tokenizer_class": "CLIPTokenizer" if is_clips else "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.context_length,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if is_clips:
        marks["unk_token"] = marks["eos_token"]
        _write_parts(folder, values)
    else:
        settings[SPLITS] = True
        # As in the file, which versions of transformers below 5 overrule.
        settings["add_prefix_space"] = (values["pre_tokenizer"] or {}).get("add_prefix_space", False)
    write_json(folder / "tokenizer.json", _as_transformers_has_it(values, marks["pad_token"]))
    write_json(folder / "special_tokens_map.json", marks)
    write_json(folder / "tokenizer_config.json", settings | marks)
    return Written(settings["tokenizer_class"], ids, exchanged)


def _is_clips(values: Mapping[str, Any]) -> bool:
    """Tell whether CLIPTokenizer, which has its own rules and takes none from the file, does the same."""
    like = tokenizers.Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    cut_as_clip_does(like)
    clips = json.loads(like.to_str())
    suffixes = [rules["model"]["end_of_word_suffix"] for rules in (values, clips)]
    return suffixes[0] == suffixes[1] and all(
        values[name] == clips[name] for name in ("normalizer", "pre_tokenizer")
    )


def _exchanged(
    values: dict[str, Any], ids: Mapping[str, int], one: int, other: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return a tokenizer's file and the ids of its marks with two ids exchanged."""

    def new(number: int) -> int:
        return {one: other, other: one}.get(number, number)

    vocabulary = {token: new(number) for token, number in values["model"]["vocab"].items()}
    added = [token | {"id": new(token["id"])} for token in values["added_tokens"]]
    names = {token["id"]: token["content"] for token in added}
    ids = {field: new(number) for field, number in ids.items()}
    marks = [(names[ids[field]], ids[field]) for field in ("bos_token_id", "eos_token_id")]
    model = values["model"] | {"vocab": vocabulary}
    library = tokenizers.Tokenizer.from_str(json.dumps(values | {"model": model, "added_tokens": added}))
    library.post_processor = processors.TemplateProcessing(
        single=[marks[0][0], "$A", marks[1][0]], special_tokens=marks
    )
    return json.loads(library.to_str()), ids


def _as_transformers_has_it(values: Mapping[str, Any], pad: str) -> dict[str, Any]:
    """Return a tokenizer's file without its lengths, the padding a mark, and merges as old versions write."""
    added = [
        token | {"special": token["special"] or token["content"] == pad} for token in values["added_tokens"]
    ]
    model = values["model"] | {"merges": [" ".join(pair) for pair in values["model"]["merges"]]}
    return {**values, "truncation": None, "padding": None, "added_tokens": added, "model": model}


def _write_parts(folder: Path, values: Mapping[str, Any]) -> None:
    """Write what versions of transformers below 5 read CLIP's tokenizer from."""
    vocabulary = values["model"]["vocab"] | {
        token["content"]: token["id"] for token in values["added_tokens"]
    }
    merges = ["#version: 0.2", *(" ".join(pair) for pair in values["model"]["merges"])]
    write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
