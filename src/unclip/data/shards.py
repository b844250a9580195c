"""WebDataset shards as they are: plain tar files, indexed once and then read by seeking, never unpacked.

The layout is WebDataset's (github.com/webdataset/webdataset): the members of a key stand under its name up to
the first dot, and the rest of the name is the suffix that tells what each one is.
"""

import tarfile
from pathlib import Path

from unclip.data.record import Record, Span, pair
from unclip.errors import DataError


def read_records(shard: Path) -> list[Record]:
    """Index one .tar file: its headers and captions are read, its pictures are not.

    Raises `DataError` for a tar that is broken, cut off or compressed, and whatever `pair` refuses.
    """
    return pair(_scan(shard))


def _scan(shard: Path) -> dict[str, dict[str, Span]]:
    try:
        with tarfile.open(shard, "r:") as tar:
            files = _group(tar, shard)
            _check_end(tar, shard)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{shard}: not an uncompressed tar ({error}); fetch or pack it again") from error
    return files


def _group(tar: tarfile.TarFile, shard: Path) -> dict[str, dict[str, Span]]:
    files: dict[str, dict[str, Span]] = {}
    for member in tar:
        folder, slash, name = member.name.rpartition("/")
        stem, _, suffix = name.partition(".")
        if not member.isfile() or not stem or not suffix:
            continue
        spans = files.setdefault(folder + slash + stem, {})
        span = Span(shard, member.offset_data, member.size, member.name)
        if spans.setdefault(suffix.lower(), span) is not span:
            raise DataError(f"{span}: stands twice in the tar; pack it again with each name once")
    return files


def _check_end(tar: tarfile.TarFile, shard: Path) -> None:
    """Refuse a tar without the block of zeros that ends it: `tarfile` takes torn headers for the end."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"{shard}: cut off or damaged at byte {tar.offset}; fetch or pack it again")
