"""Lists of words that prompts must not hold, and the file in which an operator keeps one."""

import logging
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unclip.errors import RequestError
from unclip.server.policy.confusables import fold
from unclip.server.policy.spelling import is_number, letters_of, pattern

SHIPPED = Path(__file__).with_name("words.txt")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A word or phrase as it is listed, under its category if it has one."""

    words: str
    category: str | None = None

    @property
    def name(self) -> str:
        """What verdicts call it: "violence: bloodbath"."""
        return f"{self.category}: {self.words}" if self.category else self.words


@dataclass(frozen=True)
class WordList:
    """Words and phrases to look for in texts."""

    entries: tuple[Entry, ...]

    @classmethod
    def from_file(cls, path: Path) -> "WordList":
        """Read a list: a word or phrase a line, categories in brackets, and comments behind #.

        Raises RequestError, with the number of the line, for a file that cannot be read as such.
        """
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = 1 + error.object[: error.start].count(b"\n")
            raise RequestError(f"{path}, line {line}: not UTF-8; save the list as UTF-8") from error
        except OSError as error:
            raise RequestError(f"{path}: cannot be read ({error.strerror}); give a list of words") from error
        return cls(_entries(text, path))

    @classmethod
    def default(cls) -> "WordList":
        """Return the list that comes with the package."""
        return cls.from_file(SHIPPED)

    def found(self, text: str) -> list[str]:
        """Return the names of the entries that a text holds, in its order, each once.

        A word is found whatever its case and accents, with letters of other scripts and digits that look like
        its own, with unseen characters within, and spelled out. A part of a longer word is not.
        """
        places = self._pattern.finditer(fold(text)) if self.entries else ()
        return list(dict.fromkeys(name for name in map(self._named, places) if name))

    @cached_property
    def _ordered(self) -> list[Entry]:
        def place(entry: Entry) -> tuple[str, int]:
            letters = letters_of(entry.words)
            return letters[0], -len(letters)  # where two fit, the longer is found

        return sorted(self.entries, key=place)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return pattern([entry.words for entry in self._ordered])

    def _named(self, match: re.Match[str]) -> str | None:
        assert match.lastindex is not None
        entry = self._ordered[match.lastindex - 1]
        # "455" is a number, not a word in digits, unless a number is listed.
        return None if is_number(match[0]) and not is_number(fold(entry.words)) else entry.name


class WordFile:
    """An operator's list, read again when its file has changed; the shipped one while there is no file.

    Raises RequestError for a file that cannot be read when it is opened. If it breaks later, the list before
    stays in use, and the log says so.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or SHIPPED
        self._stamp = _stamp(self._path)
        self._list = WordList.from_file(self._path if self._stamp else SHIPPED)

    def current(self) -> WordList:
        """Return the list as the file has it now."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._list = WordList.from_file(self._path)
            except RequestError as error:
                _LOG.warning("the word list before stays in use: %s", error)
        return self._list


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes with a file, None if there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def _entries(text: str, path: Path) -> tuple[Entry, ...]:
    entries, category = list[Entry](), None
    for number, line in enumerate(text.split("\n"), 1):
        words = " ".join(line.partition("#")[0].split())
        if words.startswith("["):
            category = words.strip("[] ")
            if not words.endswith("]") or not category:
                raise RequestError(f"{path}, line {number}: {words!r} is no category; write it as [violence]")
        elif words and not letters_of(words):
            raise RequestError(f"{path}, line {number}: {words!r} has no letter or digit; write a word")
        elif words:
            entries.append(Entry(words, category))
    return tuple(entries)
