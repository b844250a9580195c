"""A small copy of the data folder: the same shards, with fewer and smaller pictures."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from pathlib import Path

from PIL import Image

from unclip.data.record import Record
from unclip.data.shards import read_records
from unclip.errors import DataError
from unclip.world.concepts import listed
from unclip.world.photographs import PHOTOGRAPH_SETS
from unclip.world.shard_writer import Entry, copy_papers, encode, find_papers, write_set
from unclip.world.sprites import decode_drawing
from unclip.world.words import STYLES

_ART_SETS = tuple(style.art_set for style in STYLES.values())
_HIRES_SHARE = 0.5  # of the room that the art leaves

_Named = tuple[str, Entry]  # an entry with the set it belongs to


def pack(sources: Path, out: Path, size: int, max_mib: float, concepts: int | None = None) -> None:
    """Copy the first `concepts` concepts (None: all) in every style, at `size` px, and what else has room.

    Half of the room left is for hires drawings of the same concepts, as they are, and the rest for
    photographs at `size` px, taken from each set in turn. Every set comes with its licence and notice.

    Raises `DataError` if the art alone takes more than `max_mib`, and for missing and broken shards.
    """
    rank = {concept.art: place for place, concept in enumerate(listed()[:concepts])}
    chosen = [
        (name, _reduced(record, size)) for name in _ART_SETS for record in _drawings(sources, name, rank)
    ]
    extras = [name for name in ("hires", *PHOTOGRAPH_SETS) if (sources / name).is_dir()]
    room = max_mib * 2**20 - _overhead(sources, [*_ART_SETS, *extras]) - _total(chosen)
    if room < 0:
        raise DataError(f"{max_mib} MiB is {-room / 2**20:.2f} MiB too little; allow more or pack less")
    hires = _while_room(_hires(sources, rank) if "hires" in extras else (), room * _HIRES_SHARE)
    photographs = _photographs(sources, [name for name in extras if name != "hires"], size)
    _write(sources, out, chosen + hires + _while_room(photographs, room - _total(hires)))


def _write(sources: Path, out: Path, chosen: Iterable[_Named]) -> None:
    sets: dict[str, list[Entry]] = {}
    for name, entry in chosen:
        sets.setdefault(name, []).append(entry)
    for name, entries in sets.items():
        write_set(out / name, entries)
        copy_papers(sources / name, out / name)


def _drawings(sources: Path, name: str, rank: Mapping[str, int]) -> list[Record]:
    """Give the records of a set whose drawings are ranked, in the order of their ranks."""
    named = [
        (record.fields()["name"].lower(), record) for record in read_records(sources / name / f"{name}.tar")
    ]
    found = [(rank[drawing], record) for drawing, record in named if drawing in rank]
    return [record for _, record in sorted(found, key=lambda pair: pair[0])]


def _hires(sources: Path, rank: Mapping[str, int]) -> Iterator[_Named]:
    for record in _drawings(sources, "hires", rank):
        yield "hires", Entry(record.key, record.picture.read(), record.fields())


def _photographs(sources: Path, names: Iterable[str], size: int) -> Iterator[_Named]:
    """Give the photographs of all sets in turn, each set in an order without order."""
    sets = ([(name, record) for record in _mixed(sources / name / f"{name}.tar")] for name in names)
    for name, record in filter(None, chain.from_iterable(zip_longest(*sets))):
        yield name, _reduced(record, size)


def _mixed(shard: Path) -> list[Record]:
    return sorted(read_records(shard), key=lambda record: hashlib.sha256(record.key.encode()).digest())


def _reduced(record: Record, size: int) -> Entry:
    """Reduce a square picture to `size` px; a smaller one stays as it is."""
    image = decode_drawing(record.picture)
    side = min(size, *image.size)
    small = image.resize((side, side), Image.Resampling.BOX)
    return Entry(record.key, encode(small), record.fields() | {"size": [side, side]})


def _while_room(entries: Iterable[_Named], room: float) -> list[_Named]:
    """Take entries until the next one no longer fits."""
    taken: list[_Named] = []
    for name, entry in entries:
        room -= entry.size
        if room < 0:
            break
        taken.append((name, entry))
    return taken


def _total(entries: Iterable[_Named]) -> int:
    return sum(entry.size for _, entry in entries)


def _overhead(sources: Path, names: Iterable[str]) -> int:
    """Count the bytes of each set's licence, notice and end of tar."""
    papers = [paper for name in names for paper in find_papers(sources / name)]
    return sum(paper.stat().st_size + tarfile.RECORDSIZE for paper in papers)
