"""CLIP's own tokenizer, from the files that transformers keeps it in (`tokenizer_files` has the way back)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors

from unclip.checkpoints.configs import read_json
from unclip.errors import CheckpointError
from unclip.text.tokenizer import Tokenizer

_PIECES = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
SPLITS = "split_special_tokens"  # the setting by which a sentence that spells a mark gets its letters
_MARKS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}


def read_tokenizer(folder: Path, context_length: int) -> Tokenizer:
    """Read `tokenizer.json`, or `vocab.json` and `merges.txt`; sentences are padded to `context_length`.

    Raises CheckpointError if they are missing or broken.
    """
    settings = _settings(folder)
    marks = _marks(settings)
    pad, whole = marks["pad_token"], folder / "tokenizer.json"
    # Karlo pads with "!", which transformers therefore reads as that very token in a sentence as well.
    plain_pad = pad not in (marks["bos_token"], marks["eos_token"]) and not settings.get(SPLITS)
    library = _whole(whole, pad if plain_pad else None) if whole.is_file() else _of_parts(folder, marks)
    pad_id = library.token_to_id(pad)
    if pad_id is None:
        raise CheckpointError(f"{folder}: its pad_token {pad!r} is not in the vocabulary; restore the folder")
    if plain_pad:
        library.add_tokens([AddedToken(pad, normalized=False, special=False)])
    library.enable_truncation(context_length)
    library.enable_padding(pad_id=pad_id, pad_token=pad, length=context_length)
    return Tokenizer(library)


def _settings(folder: Path) -> dict[str, Any]:
    """Return what the folder says of the tokenizer; newer files override older ones."""
    found = dict[str, Any]()
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found |= {name: value for name, value in read_json(folder / name).items() if value is not None}
    return found


def _marks(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the marks by their roles. A mark may be an object."""
    found = {role: settings.get(role, mark) for role, mark in _MARKS.items()}
    return {role: mark["content"] if isinstance(mark, dict) else mark for role, mark in found.items()}


def _whole(path: Path, plain: str | None) -> tokenizers.Tokenizer:
    """Read the library's own file; the token `plain` is no mark, even if the file says so."""
    values = read_json(path)
    try:
        for token in values["added_tokens"]:
            token["special"] &= token["content"] != plain
        return tokenizers.Tokenizer.from_str(json.dumps(values))
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{path}: not a tokenizer ({error}); restore the folder") from error


def _of_parts(folder: Path, marks: dict[str, str]) -> tokenizers.Tokenizer:
    """Build the tokenizer around its vocabulary and merges. Source: transformers' CLIPTokenizer."""
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    for path in (vocabulary, merges):
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: the folder is half-downloaded, fetch it again")
    start, end = marks["bos_token"], marks["eos_token"]
    try:
        ids, pairs = models.BPE.read_file(str(vocabulary), str(merges))
        model = models.BPE(
            ids, pairs, continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False, unk_token=end
        )
        library = tokenizers.Tokenizer(model)
        library.add_special_tokens([start, end])
        library.post_processor = processors.RobertaProcessing(
            (end, ids[end]), (start, ids[start]), trim_offsets=False, add_prefix_space=False
        )
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{folder}: not CLIP's tokenizer ({error}); restore the folder") from error
    cut_as_clip_does(library)
    return library


def cut_as_clip_does(library: tokenizers.Tokenizer) -> None:
    """Give a tokenizer CLIP's rules of what is one word. Source: transformers' CLIPTokenizer."""
    library.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
