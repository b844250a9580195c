from pathlib import Path

import pytest

from unclip.data.shards import read_records
from unclip.errors import DataError
from unclip.world import Sprites, World, WorldConfig, load_photographs
from unclip.world.concepts import listed
from unclip.world.pack import pack


def total(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_packed_copy_is_read_like_its_source_and_fits(sample: Path, tmp_path: Path) -> None:
    pack(sample, tmp_path, 48, 1.2, 10)
    assert total(tmp_path) < 1.2 * 2**20
    sprites = Sprites.load(tmp_path)
    assert sprites.px("3d", listed()[0]) == 48
    assert not sprites.has(listed()[10])
    example = World(sprites, 0, WorldConfig(concepts=10)).example(0, 48)
    assert example.image.shape == (48, 48, 3)
    assert len(load_photographs(tmp_path, 0)) > 4


def test_every_set_keeps_its_terms_and_its_records(sample: Path, tmp_path: Path) -> None:
    pack(sample, tmp_path, 32, 1.2, 4)
    for folder in tmp_path.iterdir():
        assert (folder / "NOTICE.txt").read_text() == (sample / folder.name / "NOTICE.txt").read_text()
    record = read_records(tmp_path / "noto-emoji" / "noto-emoji.tar")[0]
    fields = record.fields()
    assert fields["size"] == [32, 32]
    assert fields["source_repo"].startswith("googlefonts/noto-emoji@")


def test_the_same_copy_twice(sample: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(sample, tmp_path / name, 32, 1.2, 3)
    shards = [(tmp_path / name / "blobmoji" / "blobmoji.tar").read_bytes() for name in ("one", "two")]
    assert shards[0] == shards[1]


def test_what_cannot_fit_is_an_error_and_writes_nothing(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^0\.3 MiB is 0\.\d\d MiB too little"):
        pack(sample, tmp_path / "out", 32, 0.3, 2)
    assert not (tmp_path / "out").exists()
