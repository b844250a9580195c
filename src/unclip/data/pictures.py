"""A finite set of captioned pictures as an endless sequence: every index gives the same each time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image, ImageOps

from unclip.data.example import Example
from unclip.data.folder import read_folder
from unclip.data.record import Record
from unclip.data.shards import read_records
from unclip.errors import DataError

_ORDER, _CAPTION, _WINDOW = range(3)  # what random numbers are drawn for; each purpose draws its own
_FILTER = Image.Resampling.BICUBIC  # Pillow widens it when it reduces, so nothing aliases


@dataclass(frozen=True, eq=False)
class CaptionedPictures:
    """Pictures on disk, read when they are asked for (see `Pictures`).

    Epoch e is the indices from e * len to (e + 1) * len; it holds every picture once, in an order of its own.
    """

    records: Sequence[Record]
    seed: int
    _large: dict[int, "CaptionedPictures"] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.records)

    def example(self, index: int, size: int) -> Example:
        """Picture `index`, resized (enlarged if need be) to cover the square and cut to its centre.

        Raises `DataError` if the picture is broken.
        """
        square = ImageOps.fit(self._record(index).decode(), (size, size), _FILTER)
        return Example(np.array(square), self.caption(index))

    def crop(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "{window} {window} 3"]:
        """A window of picture `index` of `at_least(size)`, reduced to `size` px on its short side.

        Raises `DataError` if the picture is broken or none is large enough.
        """
        if size not in self._large:
            self._large[size] = self.at_least(size)
        return self._large[size]._window(index, size, window)

    def caption(self, index: int) -> str:
        """One of the captions of picture `index`, chosen by the index: another epoch may choose another."""
        captions = self._record(index).captions
        return captions[_generator(self.seed, _CAPTION, index).integers(len(captions))]

    def captions(self) -> Iterator[str]:
        """All captions of all pictures, as a tokenizer is trained on."""
        return (caption for record in self.records for caption in record.captions)

    def at_least(self, size: int) -> "CaptionedPictures":
        """The pictures whose short side has at least `size` px. Raises `DataError` if there are none."""
        records = [
            record for record, side in zip(self.records, self._short_sides, strict=True) if side >= size
        ]
        if not records:
            largest = max(self._short_sides)
            raise DataError(
                f"no picture has {size} px on its short side: the largest has {largest};"
                f" add larger pictures or ask for {largest} px or less"
            )
        return CaptionedPictures(records, self.seed)

    def verify(self) -> None:
        """Decode every picture. Raises `DataError` that names the first broken one."""
        for record in self.records:
            record.decode()

    @cached_property
    def _short_sides(self) -> list[int]:
        return [record.short_side() for record in self.records]

    def _record(self, index: int) -> Record:
        epoch, place = divmod(index, len(self.records))
        return self.records[_epoch_order(len(self.records), self.seed, epoch)[place]]

    def _window(self, index: int, size: int, window: int) -> UInt8[np.ndarray, "{window} {window} 3"]:
        picture = self._record(index).decode()
        scale = size / min(picture.size)
        width, height = (round(side * scale) for side in picture.size)
        corner = _generator(self.seed, _WINDOW, index).integers([width - window + 1, height - window + 1])
        left, top = corner.tolist()
        reduced = picture.resize((width, height), _FILTER)
        return np.array(reduced.crop((left, top, left + window, top + window)))


def open_pictures(path: Path, seed: int) -> CaptionedPictures:
    """Open a .tar shard, a folder that holds shards at any depth, or else a folder of pictures with captions.

    Every caption is read and checked here, so that none can stop a training later; pictures are only located.

    Raises `DataError` for a place without pictures, and whatever `read_records` and `read_folder` raise.
    """
    shards = [path] if path.suffix == ".tar" else sorted(path.rglob("*.tar"))
    records = [record for shard in shards for record in read_records(shard)] if shards else read_folder(path)
    if not records:
        raise DataError(
            f"{path}: no pictures; give .tar shards, or pictures with .txt captions of the same names"
        )
    return CaptionedPictures(records, seed)


def _generator(seed: int, purpose: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, index)))


@lru_cache(maxsize=4)  # the epochs that end and begin, of two sets
def _epoch_order(length: int, seed: int, epoch: int) -> Int64[np.ndarray, " length"]:
    return _generator(seed, _ORDER, epoch).permutation(length)
