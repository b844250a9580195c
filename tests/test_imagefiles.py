import io
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import ExifTags, Image

from unclip.errors import DataError, RequestError
from unclip.imagefiles import decode, read_image, read_metadata, save, to_rgb

REQUEST = {"prompt": 'a <red> "cube" & a café 🎂', "seed": 7, "scale": 1.5, "stages": ["prior", None]}
SUFFIXES = [".png", ".webp", ".jpg", ".JPEG"]


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def described(path: Path) -> tuple[str, str]:
    """The digital source type and the description of the XMP packet, as plain Pillow finds it."""
    with Image.open(path) as image:
        root = ElementTree.fromstring(image.info["xmp"])
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    (packet,) = root.iter(f"{rdf}Description")
    text = packet.findtext(f"{{http://purl.org/dc/elements/1.1/}}description/{rdf}Alt/{rdf}li")
    return packet.attrib["{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"], text or ""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_request_comes_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save(picture(), path, REQUEST)
    assert read_metadata(path) == REQUEST


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_packet_says_what_kind_of_picture_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    terms = "http://cv.iptc.org/newscodes/digitalsourcetype/"
    save(picture(), path, REQUEST)
    assert described(path)[0] == terms + "trainedAlgorithmicMedia"
    save(picture(), path, REQUEST, "compositeWithTrainedAlgorithmicMedia")
    assert described(path)[0] == terms + "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_packet_holds_the_request_for_people(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save(picture(), path, REQUEST)
    assert described(path)[1].splitlines()[:2] == [f"prompt: {REQUEST['prompt']}", "seed: 7"]


def test_characters_that_xml_forbids_are_left_out_for_people_only(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save(picture(), path, {"prompt": "a\0b\ud800c\x1b"})
    assert described(path)[1] == "prompt: abc"
    assert read_metadata(path) == {"prompt": "a\0b\ud800c\x1b"}


def test_a_png_keeps_every_pixel_and_names_its_request(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save(picture(), path, REQUEST)
    with Image.open(path) as image:
        assert image.tobytes() == picture().tobytes()
        assert image.info["Description"].startswith("prompt: a <red>")


def test_saving_makes_the_folder_and_leaves_nothing_beside_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.png"
    save(picture(), path, REQUEST)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_save_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    save(picture(), path, REQUEST)
    before = path.read_bytes()

    def torn(partial: Path, data: bytes) -> int:
        with partial.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(RequestError, match=r"a\.png: cannot be written \(No space left on device\)"):
        save(picture(), path, {"prompt": "another"})
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == {path: before}


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match=r"use one of \.png, \.webp, \.jpg, \.jpeg"):
        save(picture(), tmp_path / name, REQUEST)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        save(picture(), tmp_path / "file" / "a.png", REQUEST)


def test_a_folder_in_the_place_of_the_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(RequestError, match="cannot be written"):
        save(picture(), tmp_path / "a.png", REQUEST)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_without_request_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    picture().save(path)
    with pytest.raises(DataError, match="holds no request"):
        read_metadata(path)


def test_metadata_of_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: holds no request"):
        read_metadata(tmp_path / "a.png")


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: cannot be read \(No such file"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_a_broken_picture_is_named(format: str) -> None:
    data = encoded(picture().resize((64, 64)), format)
    with pytest.raises(DataError, match=r"^mine: not a whole picture"):
        decode(data[: len(data) // 2], "mine")


def test_a_turned_photograph_stands_upright() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the camera was held upright
    turned = decode(encoded(picture(), "PNG", exif=exif), "mine")
    assert turned.tobytes() == picture().transpose(Image.Transpose.ROTATE_270).tobytes()


def half_transparent(mode: str) -> Image.Image:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: half_transparent("RGBA"), [[255, 0, 0], [255, 255, 255]]),
        (lambda: Image.new("L", (2, 1), 9), [[9, 9, 9]] * 2),
        (lambda: Image.new("LA", (2, 1), (9, 0)), [[255, 255, 255]] * 2),
        (lambda: Image.new("CMYK", (2, 1), (0, 255, 255, 0)), [[255, 0, 0]] * 2),
        (lambda: Image.new("1", (2, 1), 1), [[255, 255, 255]] * 2),
        (lambda: Image.fromarray(np.array([[0, 40000]], np.uint16)), [[0] * 3, [156] * 3]),
    ],
)
def test_any_mode_becomes_rgb(make: Callable[[], Image.Image], expected: list[list[int]]) -> None:
    assert np.asarray(to_rgb(make()))[0].tolist() == expected


def test_a_transparent_palette_becomes_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    decoded = decode(encoded(image, "PNG", transparency=1), "mine")
    assert np.asarray(decoded)[0].tolist() == [[255, 0, 0], [255, 255, 255]]
