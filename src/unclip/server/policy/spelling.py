"""The ways in which a word can be spelled and still be read, as one pattern for a whole list."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby

from unclip.server.policy.confusables import fold

_DIGITS = {
    "a": "a4@",
    "b": "b8",
    "e": "e3€",
    "g": "g9",
    "i": "i1!|",
    "l": "l1|",
    "o": "o0",
    "s": "s5$",
    "t": "t7+",
}
_SPELLED = 3  # letters, from which on a word is found spelled out: initials are shorter
_BETWEEN = r"[\W_]"  # what may stand, up to three, between words and between letters that are spelled out
# Thai, Lao, Burmese, Khmer, kana and Han, which do not part words by spaces.
_UNPARTED = "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"


def letters_of(words: str) -> str:
    """Return the letters and digits of a word or phrase, folded."""
    return "".join(_parts(words))


def is_number(folded: str) -> bool:
    """Tell whether folded text has no letter."""
    return not re.search(r"[^\W\d_]", folded)


def pattern(listed: Sequence[str]) -> re.Pattern[str]:
    """Return what finds words and phrases in folded text, group k being the k-th of them.

    As they are, with digits for letters, their words run together, or all letters spelled out with something
    between each two; and not as a part of a longer word, in scripts that part words. Where several begin, the
    first in the list is found. It is quick if those of one first letter stand together.
    """
    letter = rf"[^\W\d_]|[{_marks()}]"
    begin = rf"(?<![^\W\d_])(?<![{_marks()}])|(?={_UNPARTED})"
    end = rf"(?!{letter})|(?<={_UNPARTED})"
    # A look at the first letter spares the others: lists are long.
    words = "|".join(f"(?={first})(?:{_either(some)})" for first, some in groupby(listed, _first))
    return re.compile(f"(?:{begin})(?:{words})(?:{end})")


def _either(listed: Iterable[str]) -> str:
    return "|".join(f"({_form(words)})" for words in listed)


def _first(words: str) -> str:
    return _letter(letters_of(words)[0])


def _form(words: str) -> str:
    parts = _parts(words)
    letters = "".join(parts)
    form = f"{_BETWEEN}{{0,3}}".join("".join(map(_letter, part)) for part in parts)
    if len(letters) >= _SPELLED:
        form = f"(?:{form}|{f'{_BETWEEN}{{1,3}}'.join(map(_letter, letters))})"
    # A digit goes on in the next one, and a letter does not.
    return (r"(?<!\d)" if letters[0].isdigit() else "") + form + (r"(?!\d)" if letters[-1].isdigit() else "")


def _parts(words: str) -> list[str]:
    return re.findall(rf"(?:[^\W_]|[{_marks()}])+", fold(words))


def _letter(letter: str) -> str:
    return f"[{re.escape(_DIGITS[letter])}]" if letter in _DIGITS else re.escape(letter)


@cache
def _marks() -> str:
    """Characters that belong to the letter before them, such as the vowels of Indic scripts."""
    return "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
