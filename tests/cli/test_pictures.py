from pathlib import Path

import pytest
from PIL import Image

from unclip.cli.pictures import picture_or_sentence
from unclip.errors import DataError


@pytest.mark.parametrize(
    "text",
    ["a red cube", "", ".", "version 1.5 of a cube", "cube/apple", "a red cube " * 1000, "a\0b", "/tmp"],
)
def test_what_names_no_file_is_a_sentence(text: str) -> None:
    assert picture_or_sentence(text) == text


@pytest.mark.parametrize("name", ["photo.png", "photo.JPG", "without-a-suffix", "a red cube"])
def test_what_names_a_file_is_its_picture(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (3, 2), "red").save(tmp_path / name, "PNG")
    found = picture_or_sentence(str(tmp_path / name))
    assert isinstance(found, Image.Image)
    assert found.size == (3, 2)


@pytest.mark.parametrize("name", ["gone.png", "gone.webp", "gone.JPEG", "a red cube.gif"])
def test_a_picture_that_is_missing_is_no_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        picture_or_sentence(str(tmp_path / name))


@pytest.mark.parametrize("name", ["note.txt", "note.png"])
def test_a_file_that_is_no_picture_is_no_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a red cube")
    with pytest.raises(DataError, match="not a whole picture"):
        picture_or_sentence(str(tmp_path / name))
