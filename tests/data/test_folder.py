from pathlib import Path

import pytest
from PIL import Image

from unclip.data.folder import read_folder
from unclip.errors import DataError


def add(path: Path, caption: str | None = "a cat") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


def test_pictures_are_found_at_any_depth_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.webp", "deep/er/c.JPG", "d.v1.jpeg"):
        add(tmp_path / name)
    assert [record.key for record in read_folder(tmp_path)] == ["a", "b", "d.v1", "deep/er/c"]


def test_every_line_is_a_caption(tmp_path: Path) -> None:
    add(tmp_path / "a.png", "a cat\na small café cat\n")
    (record,) = read_folder(tmp_path)
    assert record.captions == ("a cat", "a small café cat")


def test_the_picture_is_the_whole_file(tmp_path: Path) -> None:
    add(tmp_path / "a.png")
    (record,) = read_folder(tmp_path)
    assert record.picture.read() == (tmp_path / "a.png").read_bytes()


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    add(tmp_path / "a.png")
    for name in (".DS_Store", "._a.png", "LICENSE", "b.npy"):
        (tmp_path / name).write_bytes(b"")
    assert [record.key for record in read_folder(tmp_path)] == ["a"]


def test_a_caption_without_its_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "lost.txt").write_text("a cat")
    with pytest.raises(DataError, match=r"lost\.txt: a caption without its picture"):
        read_folder(tmp_path)


def test_a_picture_without_its_caption_is_named(tmp_path: Path) -> None:
    add(tmp_path / "a.png", caption=None)
    with pytest.raises(DataError, match=r"a\.png: a picture without its caption"):
        read_folder(tmp_path)


def test_an_empty_caption_is_named(tmp_path: Path) -> None:
    add(tmp_path / "a.png", caption="\n")
    with pytest.raises(DataError, match=r"a\.txt: an empty caption"):
        read_folder(tmp_path)
