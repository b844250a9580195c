"""Checks on a prompt before a picture is made: its length, and the words that the model has never seen."""

import bisect
import difflib
import re
from collections.abc import Collection, Iterable

from unclip.errors import RequestError
from unclip.text.tokenizer import Tokenizer

_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")  # letters and digits, apostrophes within


def check_prompt(text: str, tokenizer: Tokenizer, name: str = "prompt") -> str:
    """Return the sentence without the space around it; `name` is what errors call it.

    Raises `RequestError` for a sentence that is empty, too long, or not Unicode.
    """
    sentence = text.strip()
    if not sentence:
        raise RequestError(f"the {name} is empty: describe a picture in a sentence")
    if _HALF.search(sentence):
        raise RequestError(f"the {name} holds half of a surrogate pair: send whole Unicode characters")
    count, limit = tokenizer.count(sentence), tokenizer.context_length
    if count > limit:
        raise RequestError(f"the {name} has {count} tokens and the model reads {limit}: shorten it")
    return sentence


def shortened(text: str, tokenizer: Tokenizer) -> str:
    """Return as much of a sentence, from its first word on, as the model reads.

    One that is not Unicode is returned as it is, for `check_prompt` to refuse.
    """
    limit = tokenizer.context_length
    if _HALF.search(text) or tokenizer.count(text) <= limit:
        return text
    text = text.lstrip()
    end = bisect.bisect_right(range(1, len(text) + 1), limit, key=lambda end: tokenizer.count(text[:end]))
    whole = text[end : end + 1].isspace()
    return text[:end] if whole else re.sub(r"\s\S*\Z", "", text[:end])  # without half a word


def word_list(captions: Iterable[str]) -> tuple[str, ...]:
    """List the words of the captions in order: lower case, without the 's of a possessive."""
    return tuple(sorted({word for caption in captions for word in _words(caption)}))


def unknown_words(text: str, words: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Find the words of a prompt that are not in `words`, in its order, each with up to three like it.

    The plural of a known word is known, and so is the singular of a known plural.
    """
    known = set(words).union(*map(_plurals, words))
    strangers = [word for word in _words(text) if word not in known and known.isdisjoint(_plurals(word))]
    return {word: tuple(difflib.get_close_matches(word, words)) for word in strangers}


def _words(text: str) -> list[str]:
    return [word.removesuffix("'s") for word in _WORD.findall(text.lower().replace("\u2019", "'"))]


def _plurals(word: str) -> set[str]:
    """Spell the regular plurals of a word; one of two letters has none."""
    if len(word) < 3:
        return set()
    if word.endswith("y") and word[-2] not in "aeiou":
        return {word[:-1] + "ies"}
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return {word + "es"}
    return {word + "s", word + "es"} if word.endswith("o") else {word + "s"}
