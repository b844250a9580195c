"""A picture with its captions where they lie on disk, put together from the files of one name."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ContainerIO import ContainerIO

from unclip.errors import DataError
from unclip.imagefiles import decode

_PICTURES = ("webp", "png", "jpg", "jpeg")
_CAPTIONS = ("txt", "json")
_HALF_PAIR = re.compile("[\ud800-\udfff]")  # JSON can spell it, Unicode text cannot hold it


@dataclass(frozen=True)
class Span:
    """A run of bytes in a file: all of it, or one `member` of a tar."""

    path: Path
    start: int
    length: int
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    def read(self) -> bytes:
        """Read the bytes. Raises `DataError` if the file is gone or has become shorter."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                data = file.read(self.length)
        except OSError as error:
            raise DataError(f"{self}: cannot be read ({error.strerror}); put it back") from error
        if len(data) < self.length:
            raise DataError(f"{self}: {len(data)} of {self.length} bytes are left; restore {self.path.name}")
        return data


@dataclass(frozen=True)
class Record:
    """A picture where it lies, and its captions: at least one, none of them empty."""

    key: str
    picture: Span
    captions: tuple[str, ...]
    details: Span | None  # the .json file

    def decode(self) -> Image.Image:
        """Read the picture as upright RGB. Raises `DataError` if it is broken."""
        return decode(self.picture.read(), str(self.picture))

    def short_side(self) -> int:
        """Read the shorter side in px from the picture's header. Raises `DataError` if it is broken."""
        try:
            with self.picture.path.open("rb") as file:
                return min(Image.open(ContainerIO(file, self.picture.start, self.picture.length)).size)
        except (OSError, Image.DecompressionBombError) as error:
            raise DataError(f"{self.picture}: not a picture ({error}); replace it or take it out") from error

    def fields(self) -> dict[str, Any]:
        """Read the .json file; without one there are no fields. Raises `DataError` if it holds no object."""
        return _read_json(self.details) if self.details else {}


def pair(files: Mapping[str, Mapping[str, Span]]) -> list[Record]:
    """Make a record of the files of each key, which are given by their suffix without the dot.

    A picture is .webp, .png, .jpg or .jpeg. Its captions are the lines of .txt, or else what .json has under
    "caption": a string or a list of strings. Keys with none of these files are passed over.

    Raises `DataError` for a picture without caption, a caption without picture, and two pictures of one key.
    """
    wanted = {*_PICTURES, *_CAPTIONS}
    return [_record(key, spans) for key, spans in files.items() if wanted & spans.keys()]


def _record(key: str, spans: Mapping[str, Span]) -> Record:
    pictures = [spans[suffix] for suffix in _PICTURES if suffix in spans]
    captions = [spans[suffix] for suffix in _CAPTIONS if suffix in spans]
    if not pictures:
        raise DataError(f"{captions[0]}: a caption without its picture; add the picture or take this out")
    if not captions:
        raise DataError(f"{pictures[0]}: a picture without its caption; add a .txt file of the same name")
    if len(pictures) > 1:
        raise DataError(f"{pictures[1]}: has the name of {pictures[0]}; rename one of them, with its caption")
    lines = _read_text(spans["txt"]).splitlines() if "txt" in spans else _caption_field(spans["json"])
    kept = tuple(line.strip() for line in lines if line.strip())
    if not kept:
        raise DataError(f"{captions[0]}: an empty caption; write one or take it out with its picture")
    return Record(key, pictures[0], kept, spans.get("json"))


def _caption_field(span: Span) -> list[str]:
    value = _read_json(span).get("caption")
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise DataError(f'{span}: has no "caption"; give it one, a string or a list of strings')
    if any(_HALF_PAIR.search(line) for line in lines):
        raise DataError(f"{span}: holds half of a surrogate pair; write its caption in whole characters")
    return lines


def _read_json(span: Span) -> dict[str, Any]:
    try:
        fields = json.loads(_read_text(span))
    except json.JSONDecodeError as error:
        raise DataError(f"{span}: not JSON ({error}); mend it or take it out") from error
    if not isinstance(fields, dict):
        raise DataError(f"{span}: holds no JSON object; mend it or take it out")
    return fields


def _read_text(span: Span) -> str:
    try:
        return span.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{span}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
