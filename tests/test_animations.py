import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from unclip.animations import check_animation, is_animation, save_animation
from unclip.errors import RequestError
from unclip.imagefiles import read_image, read_metadata

REQUEST = {"prompt": 'a <red> "cube" & a café 🎂', "seed": 7, "long": list(range(500))}
SUFFIXES = [".gif", ".webp", ".apng", ".GIF"]


def frames(count: int, size: int = 64) -> list[Image.Image]:
    """A disc that crosses a smooth ground."""
    y, x = np.mgrid[:size, :size] / size
    ground = np.stack([x, y, 1 - x], axis=-1) * 200
    pictures = list[Image.Image]()
    for k in range(count):
        disc = (x - (k + 1) / (count + 1)) ** 2 + (y - 0.5) ** 2 < 0.02
        picture = np.where(disc[..., None], [255, 220, 0], ground)
        pictures.append(Image.fromarray(picture.astype(np.uint8)))
    return pictures


def read(path: Path) -> tuple[list[Image.Image], list[float], int]:
    """Frames, milliseconds of each, and how often they come again (0: without end), as plain Pillow says."""
    shown, durations = list[Image.Image](), list[float]()
    with Image.open(path) as image:
        for k in range(getattr(image, "n_frames", 1)):
            image.seek(k)
            image.load()
            shown.append(image.convert("RGB"))
            durations.append(image.info["duration"])
        return shown, durations, image.info["loop"]


def error(found: Image.Image, expected: Image.Image) -> float:
    return float(np.abs(np.asarray(found).astype(float) - np.asarray(expected)).mean())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_frames_come_back_in_order_and_without_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_animation(frames(5), path, REQUEST, seconds=1.0)
    shown, durations, loop = read(path)
    assert len(shown) == 5
    assert loop == 0
    limit = {".apng": 0.0}.get(suffix, 4.0)
    assert all(error(*pair) <= limit for pair in zip(shown, frames(5), strict=True))
    assert durations == [200, 200, 200, 200, 1200]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_request_comes_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_animation(frames(3), path, REQUEST, seconds=1.0)
    assert read_metadata(path) == REQUEST


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("source", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"])
def test_the_packet_says_what_kind_of_picture_it_is(tmp_path: Path, suffix: str, source: str) -> None:
    path = tmp_path / f"a{suffix}"
    save_animation(frames(3), path, REQUEST, 1.0, source)  # pyright: ignore[reportArgumentType]
    packet = re.search(rb"<x:xmpmeta.*</x:xmpmeta>", path.read_bytes(), re.DOTALL)
    assert packet
    root = ElementTree.fromstring(packet[0])
    rdf, iptc = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    (description,) = root.iter(f"{{{rdf}}}Description")
    kind = description.attrib[f"{{{iptc}}}DigitalSourceType"]
    assert kind == f"http://cv.iptc.org/newscodes/digitalsourcetype/{source}"


def blocks(gif: bytes) -> list[bytes]:
    """The extensions of a GIF as a reader sees them that knows none."""
    place = 13 + (3 * 2 ** ((gif[10] & 7) + 1) if gif[10] & 128 else 0)
    found = list[bytes]()
    while gif[place] == ord("!"):
        found.append(gif[place + 3 : place + 14])
        place += 2
        while gif[place]:
            place += 1 + gif[place]
        place += 1
    assert gif[place] == ord(",")  # a frame
    return found


def test_readers_that_know_no_packet_find_what_is_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    save_animation(frames(2), path, REQUEST, 1.0)
    found = blocks(path.read_bytes())
    assert found[0] == b"XMP DataXMP"
    assert b"NETSCAPE2.0" in found


def test_a_still_part_of_a_gif_does_not_flicker(tmp_path: Path) -> None:
    save_animation(frames(6), tmp_path / "a.gif", REQUEST, 1.0)
    tops = [np.asarray(frame)[:8].astype(float) for frame in read(tmp_path / "a.gif")[0]]
    assert max(np.abs(top - tops[0]).mean() for top in tops) < 3


def test_every_frame_of_a_gif_has_a_palette_of_its_own(tmp_path: Path) -> None:
    """Frames that have no colour in common, and 256 colours each."""
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16)
    zero = np.zeros_like(shades)
    pictures = [
        Image.fromarray(np.stack(channels, axis=-1))
        for channels in ((shades, zero, zero + 9), (zero, shades, zero + 99), (zero + 77, zero, shades))
    ]
    save_animation(pictures, tmp_path / "a.gif", REQUEST, 1.0)
    assert max(error(*pair) for pair in zip(read(tmp_path / "a.gif")[0], pictures, strict=True)) < 0.5


@pytest.mark.parametrize(
    ("count", "seconds", "expected"),
    [
        (1, 0.5, [1500]),
        (3, 1.0, [330, 340, 1330]),
        (4, 0.01, [20, 20, 20, 1020]),  # the least that browsers obey
    ],
)
@pytest.mark.parametrize("suffix", [".gif", ".apng"])
def test_the_last_frame_is_held(
    tmp_path: Path, count: int, seconds: float, expected: Sequence[int], suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    save_animation(frames(count), path, REQUEST, seconds)
    if count == 1 and suffix == ".apng":
        assert error(read_image(path), frames(1)[0]) == 0  # a still picture has no times
    else:
        assert read(path)[1] == expected


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(RequestError, match="seconds must be above 0"):
        save_animation(frames(2), tmp_path / "a.gif", REQUEST, seconds)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a", "a.gif.txt"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    said = r"cannot animate as '[.a-z]*'; use one of \.gif, \.webp, \.apng"
    assert not is_animation(tmp_path / name)
    with pytest.raises(RequestError, match=said):
        check_animation(tmp_path / name)
    with pytest.raises(RequestError, match=said):
        save_animation(frames(2), tmp_path / name, REQUEST, 1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.gif", "a.WebP", "a.apng"])
def test_an_animation_is_told_by_its_suffix(name: str) -> None:
    assert is_animation(Path(name))
    check_animation(Path(name))


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(RequestError, match="cannot be written"):
        save_animation(frames(2), tmp_path / "a.gif", REQUEST, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_frames_of_any_mode_are_saved(tmp_path: Path) -> None:
    pictures = [Image.new("RGBA", (8, 8), (255, 0, 0, 0)), Image.new("L", (8, 8), 9)]
    save_animation(pictures, tmp_path / "a.apng", REQUEST, 1.0)
    assert [frame.getpixel((0, 0)) for frame in read(tmp_path / "a.apng")[0]] == [(255,) * 3, (9,) * 3]
