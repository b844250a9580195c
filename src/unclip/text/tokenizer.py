"""Byte-pair encoding of captions, over the `tokenizers` library."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
from jaxtyping import Bool, Int64
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from unclip.errors import CheckpointError

PAD, START, END = range(3)
"""The ids of the marks: after a sentence, before it, and at its end."""

_MARKS = ["<pad>", "<start>", "<end>"]
_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Tokens:
    """Sentences as ids, padded to the tokenizer's `context_length`."""

    tokens: Int64[Tensor, "b n"]
    mask: Bool[Tensor, "b n"]  # True on the sentence with its start and end


class Tokenizer:
    """Sentences as tokens: lower-case words in Unicode NFC, cut into pieces of UTF-8; none is unknown.

    Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019, section 2.2).
    """

    def __init__(self, library: tokenizers.Tokenizer) -> None:
        assert library.padding is not None, "the library's tokenizer must know the length to pad to"
        library.encode_special_tokens = True  # a sentence that spells "<end>" gets its letters, not the mark
        self._library = library
        self.context_length: int = library.padding["length"]
        """How many tokens every sentence is padded or cut to, start and end included."""

    @classmethod
    def train(cls, captions: Iterable[str], vocab_size: int, context_length: int) -> "Tokenizer":
        """Learn the pieces from captions: the same captions give the same tokenizer.

        `vocab_size` counts the marks and the 256 bytes; few captions may give fewer pieces than that.
        """
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        assert vocab_size >= len(_MARKS) + len(alphabet), f"{vocab_size} tokens do not hold every byte"
        library = _untrained(context_length)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=_MARKS, initial_alphabet=alphabet, show_progress=False
        )
        library.train_from_iterator(captions, trainer)
        return cls(library)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read what `save` wrote. Raises `CheckpointError` if it is missing, broken or of another make."""
        path = folder / _FILE
        try:
            library = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(f"{path}: not a tokenizer ({error}); restore the folder") from error
        if library.padding is None or library.truncation is None:
            raise CheckpointError(f"{path}: sets no context length; give a tokenizer that unclip has saved")
        return cls(library)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, the context length included."""
        folder.mkdir(parents=True, exist_ok=True)
        self._library.save(str(folder / _FILE))

    @property
    def vocab_size(self) -> int:
        """How many tokens there are: ids are below it."""
        return self._library.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Encode sentences; one that is too long loses its last words and keeps its end.

        "" is the sentence of no condition: start and end alone.
        """
        rows = self._library.encode_batch(texts)
        shape = (len(texts), self.context_length)
        tokens = torch.tensor([row.ids for row in rows], dtype=torch.int64).reshape(shape)
        mask = torch.tensor([row.attention_mask for row in rows], dtype=torch.bool).reshape(shape)
        return Tokens(tokens, mask)

    def count(self, text: str) -> int:
        """Count the tokens of the whole sentence, start and end included, however long it is."""
        row = self._library.encode(text)
        parts = [row, *row.overflowing]  # each with marks of its own
        return 2 + sum(sum(part.attention_mask) - 2 for part in parts)


def _untrained(context_length: int) -> tokenizers.Tokenizer:
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # a first word is like any other
    pad, start, end = _MARKS
    library.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, START), (end, END)]
    )
    library.enable_truncation(context_length)
    library.enable_padding(pad_id=PAD, pad_token=pad, length=context_length)
    return library
