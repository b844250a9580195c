import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from unclip.data.shards import read_records
from unclip.errors import DataError


def png(colour: str = "red", size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, members: Mapping[str, bytes] | list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in dict(members).items() if isinstance(members, Mapping) else members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.tar"


def test_records_are_what_tarfile_reads(path: Path) -> None:
    colours = ["red", "green", "blue", "white"]
    shard(path, {f"{c}.{s}": d for c in colours for s, d in (("png", png(c)), ("txt", f"a {c}".encode()))})
    records = read_records(path)
    with tarfile.open(path) as tar:
        for record in reversed(records):  # in any order
            member = tar.extractfile(f"{record.key}.png")
            assert member is not None
            assert record.picture.read() == member.read()
    assert [record.key for record in records] == colours
    assert [record.captions for record in records] == [(f"a {colour}",) for colour in colours]


def test_the_key_ends_at_the_first_dot_of_the_name(path: Path) -> None:
    shard(path, {"v1.0/cat.png": png(), "v1.0/cat.TXT": b"a cat", "v1.0/cat.mask.png": b"not the picture"})
    (record,) = read_records(path)
    assert (record.key, record.picture.member) == ("v1.0/cat", "v1.0/cat.png")


def test_members_of_a_key_may_lie_apart(path: Path) -> None:
    shard(path, [("a.png", png()), ("b.png", png()), ("b.txt", b"b"), ("a.txt", b"a")])
    assert [(record.key, record.captions) for record in read_records(path)] == [("a", ("a",)), ("b", ("b",))]


def test_other_members_are_passed_over(path: Path) -> None:
    shard(
        path,
        {"LICENSE": b"", ".hidden.png": b"", "a.cls": b"3", "b.webp": png(), "b.txt": b"b", "b.npy": b""},
    )
    assert [record.key for record in read_records(path)] == ["b"]


@pytest.mark.parametrize(
    ("members", "captions"),
    [
        ({"a.txt": b"a cat\n\n  a small cat \n"}, ("a cat", "a small cat")),
        ({"a.txt": b"\xef\xbb\xbfa caf\xc3\xa9"}, ("a café",)),
        ({"a.json": b'{"caption": "a cat"}'}, ("a cat",)),
        ({"a.json": b'{"caption": ["a cat", "", "a dog"]}'}, ("a cat", "a dog")),
        ({"a.json": b'{"caption": "from json"}', "a.txt": b"from txt"}, ("from txt",)),
    ],
)
def test_captions_come_from_txt_or_json(
    path: Path, members: dict[str, bytes], captions: tuple[str, ...]
) -> None:
    (record,) = read_records(shard(path, {"a.png": png(), **members}))
    assert record.captions == captions


def test_fields_are_what_json_holds(path: Path) -> None:
    fields = {"caption": "a cat", "keywords": ["pet"], "year": 1909}
    shard(path, {"a.png": png(), "a.json": json.dumps(fields).encode(), "b.png": png(), "b.txt": b"b"})
    assert [record.fields() for record in read_records(path)] == [fields, {}]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.txt": b"a cat"}, "a.tar:a.txt: a caption without its picture"),
        ({"a.png": b""}, "a.tar:a.png: a picture without its caption"),
        ({"a.png": b"", "a.jpg": b"", "a.txt": b"a"}, "a.tar:a.jpg: has the name of"),
        ({"a.png": b"", "a.txt": b" \n"}, "a.tar:a.txt: an empty caption"),
        ({"a.png": b"", "a.json": b'{"caption": []}'}, "a.tar:a.json: an empty caption"),
        ({"a.png": b"", "a.json": b'{"name": "cat"}'}, 'a.tar:a.json: has no "caption"'),
        ({"a.png": b"", "a.json": b'{"caption": [1]}'}, 'a.tar:a.json: has no "caption"'),
        ({"a.png": b"", "a.json": b'{"caption": "\\ud83d"}'}, "a.tar:a.json: holds half of a surrogate pair"),
        ({"a.png": b"", "a.json": b"[]"}, "a.tar:a.json: holds no JSON object"),
        ({"a.png": b"", "a.json": b"{"}, "a.tar:a.json: not JSON"),
        ({"a.png": b"", "a.txt": b"\xff\xfe"}, "a.tar:a.txt: not UTF-8 text"),
        ([("a.txt", b"a"), ("a.txt", b"b")], "a.tar:a.txt: stands twice"),
    ],
)
def test_what_does_not_fit_is_named(
    path: Path, members: dict[str, bytes] | list[tuple[str, bytes]], message: str
) -> None:
    shard(path, members)
    with pytest.raises(DataError) as caught:
        read_records(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tar: not an uncompressed tar"):
        read_records(path)


def test_a_compressed_shard_is_refused(path: Path) -> None:
    shard(path, {"a.png": png(), "a.txt": b"a"}, mode="w:gz")
    with pytest.raises(DataError, match="not an uncompressed tar"):
        read_records(path)


def test_a_shard_cut_off_anywhere_is_refused(path: Path) -> None:
    shard(path, {"a.png": png(), "a.txt": b"a" * 600, "b.png": png(), "b.txt": b"b"})
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        end = tar.getmembers()[-1].offset_data + tarfile.BLOCKSIZE
    for length in [*range(0, end, 100), *range(0, end + 1, tarfile.BLOCKSIZE)]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.tar"):
            read_records(path)
    path.write_bytes(whole)
    assert len(read_records(path)) == 2


def test_a_damaged_header_is_refused(path: Path) -> None:
    shard(path, {"a.png": png(), "a.txt": b"a", "b.png": png(), "b.txt": b"b"})
    with tarfile.open(path) as tar:
        header = tar.getmember("b.png").offset
    with path.open("r+b") as file:
        file.seek(header)
        file.write(b"?" * 100)
    with pytest.raises(DataError, match=f"cut off or damaged at byte {header}"):
        read_records(path)


def test_a_shard_cut_off_later_is_named_when_read(path: Path) -> None:
    (record,) = read_records(shard(path, {"a.txt": b"a", "a.png": png()}))
    with path.open("r+b") as file:
        file.truncate(record.picture.start + 10)
    with pytest.raises(DataError, match=rf"a\.tar:a\.png: 10 of {len(png())} bytes are left"):
        record.picture.read()


def test_a_shard_gone_later_is_named_when_read(path: Path) -> None:
    (record,) = read_records(shard(path, {"a.txt": b"a", "a.png": png()}))
    path.unlink()
    with pytest.raises(DataError, match=r"a\.tar:a\.png: cannot be read"):
        record.picture.read()
