"""Writing shards: pairs of a .webp and a .json in a tar, with its licence and notice beside it."""

import json
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from unclip.errors import DataError

PAPERS = ("LICENSE.txt", "NOTICE.txt")
_QUALITY = 88


@dataclass(frozen=True)
class Entry:
    """A picture and its record, under a key of their own."""

    key: str
    picture: bytes
    fields: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes it takes in a tar, where each of the two files has a header and fills whole blocks."""
        blocks = (1 + -(-len(data) // tarfile.BLOCKSIZE) for data in self.files().values())
        return tarfile.BLOCKSIZE * sum(blocks)

    def files(self) -> dict[str, bytes]:
        """Give the two files by their names."""
        fields = json.dumps(self.fields, ensure_ascii=False)
        return {f"{self.key}.webp": self.picture, f"{self.key}.json": fields.encode()}


def encode(image: Image.Image) -> bytes:
    """Encode as WebP: lossy colours, exact transparency."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()


def write_set(folder: Path, entries: Iterable[Entry]) -> None:
    """Write <folder>/<its name>.tar, byte for byte the same for the same entries."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{folder.name}.tar", "w") as tar:
        for entry in entries:
            for name, data in entry.files().items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, BytesIO(data))


def copy_papers(source: Path, folder: Path) -> None:
    """Copy the licence and the notice of a set. Raises `DataError` if it has neither."""
    papers = find_papers(source)
    folder.mkdir(parents=True, exist_ok=True)
    for paper in papers:
        shutil.copyfile(paper, folder / paper.name)


def find_papers(source: Path) -> list[Path]:
    """Find the licence and the notice of a set. Raises `DataError` if it has neither."""
    papers = [source / name for name in PAPERS if (source / name).is_file()]
    if not papers:
        raise DataError(f"{source}: no {' or '.join(PAPERS)}; pictures are only passed on with their terms")
    return papers
