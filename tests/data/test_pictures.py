import io
import pickle
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unclip.data.example import Pictures
from unclip.data.pictures import CaptionedPictures, open_pictures
from unclip.data.record import Record, Span
from unclip.errors import DataError


def add(folder: Path, name: str, image: Image.Image, captions: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name)
    (folder / name).with_suffix(".txt").write_text(captions or Path(name).stem)


def ramp(width: int, height: int) -> Image.Image:
    """A picture whose red is its column and whose green is its row."""
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([columns, rows, rows * 0], -1).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(7):
        add(
            tmp_path / "set",
            f"{index}.png",
            Image.new("RGB", (8 + index, 9), (index, 0, 0)),
            f"{index}\n{index}!",
        )
    return tmp_path / "set"


def unread(count: int, seed: int) -> CaptionedPictures:
    span = Span(Path("none.png"), 0, 0)
    return CaptionedPictures(
        [Record(str(key), span, (str(key), f"{key}!"), None) for key in range(count)], seed
    )


@given(st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 1000))
def test_an_epoch_holds_every_picture_once(count: int, seed: int, epoch: int) -> None:
    pictures = unread(count, seed)
    keys = [pictures.caption(index).removesuffix("!") for index in range(epoch * count, (epoch + 1) * count)]
    assert Counter(keys) == Counter(str(key) for key in range(count))


def test_epochs_and_seeds_have_their_own_order() -> None:
    def order(seed: int, epoch: int) -> list[str]:
        return [unread(50, seed).caption(50 * epoch + place).removesuffix("!") for place in range(50)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_every_caption_of_a_picture_is_chosen_in_time() -> None:
    pictures = unread(1, 0)
    assert Counter(pictures.caption(index) for index in range(200)).keys() == {"0", "0!"}


def test_an_index_gives_the_same_wherever_it_is_asked(folder: Path) -> None:
    def everything(pictures: Pictures, indices: range) -> dict[int, tuple[bytes, bytes, str]]:
        examples = {index: pictures.example(index, 8) for index in indices}
        crops = {index: pictures.crop(index, 8, 4) for index in indices}
        return {i: (examples[i].image.tobytes(), crops[i].tobytes(), examples[i].caption) for i in indices}

    pictures = open_pictures(folder, 3)
    forwards = everything(pictures, range(21))
    assert everything(pickle.loads(pickle.dumps(pictures)), range(20, -1, -1)) == forwards


def test_the_caption_belongs_to_the_picture(folder: Path) -> None:
    pictures = open_pictures(folder, 0)
    for index in range(14):
        example = pictures.example(index, 4)
        assert example.caption.removesuffix("!") == str(example.image[0, 0, 0])
        assert pictures.caption(index) == example.caption


def test_all_captions_are_listed(folder: Path) -> None:
    assert sorted(open_pictures(folder, 0).captions()) == sorted(
        f"{i}{mark}" for i in range(7) for mark in ("", "!")
    )


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40)])
def test_an_example_is_the_centre_of_the_picture(tmp_path: Path, width: int, height: int) -> None:
    add(tmp_path, "a.png", ramp(width, height))
    image = open_pictures(tmp_path, 0).example(0, 20).image
    left, top = (width - 20) // 2, (height - 20) // 2
    assert np.array_equal(image, np.asarray(ramp(width, height))[top : top + 20, left : left + 20])


def test_a_reduced_example_does_not_alias(tmp_path: Path) -> None:
    board = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    add(tmp_path, "a.png", board)
    image = open_pictures(tmp_path, 0).example(0, 8).image.astype(int)
    assert abs(image - 127.5).max() < 5


def test_a_crop_at_full_size_is_a_window_of_the_picture(tmp_path: Path) -> None:
    add(tmp_path, "a.png", ramp(40, 20))
    pictures = open_pictures(tmp_path, 0)
    corners: set[tuple[int, int]] = set()
    for index in range(300):
        crop = pictures.crop(index, 20, 16)
        left, top = crop[0, 0, :2].tolist()
        assert np.array_equal(crop, np.asarray(ramp(40, 20))[top : top + 16, left : left + 16])
        corners.add((left, top))
    assert {left for left, _ in corners} == set(range(25))  # every place there is, to both edges
    assert {top for _, top in corners} == set(range(5))


def test_a_crop_is_reduced_to_the_size(tmp_path: Path) -> None:
    add(tmp_path, "a.png", ramp(80, 40))
    crop = open_pictures(tmp_path, 0).crop(0, 20, 20).astype(int)
    assert np.all(np.diff(crop[2:-2, 2:-2, 0], axis=1) == 2)


def test_crops_come_only_from_pictures_that_are_large_enough(folder: Path) -> None:
    add(folder, "large.png", Image.new("RGB", (20, 24), "white"))
    pictures = open_pictures(folder, 0)
    assert len(pictures.at_least(9)) == 7  # 8 x 9 is left out
    assert all(pictures.crop(index, 20, 4).min() == 255 for index in range(10))


def test_no_picture_large_enough_names_the_largest(folder: Path) -> None:
    with pytest.raises(DataError, match="no picture has 10 px on its short side: the largest has 9;"):
        open_pictures(folder, 0).crop(0, 10, 4)


def test_a_broken_picture_is_named(folder: Path) -> None:
    data = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(data[:50])
    pictures = open_pictures(folder, 0)
    with pytest.raises(DataError, match=r"3\.png: not a whole picture"):
        pictures.verify()


def test_a_file_that_is_no_picture_is_named_when_sizes_are_read(folder: Path) -> None:
    (folder / "3.png").write_bytes(b"GIF?")
    with pytest.raises(DataError, match=r"3\.png: not a picture"):
        open_pictures(folder, 0).at_least(4)


def pack(folder: Path, shard: Path) -> None:
    with tarfile.open(shard, "w") as tar:
        for path in sorted(folder.iterdir()):
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))


def test_a_folder_and_its_shard_give_the_same(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.tar")
    loose, packed = open_pictures(folder, 0), open_pictures(tmp_path / "a.tar", 0)
    for index in range(7):
        assert packed.caption(index) == loose.caption(index)
        assert np.array_equal(packed.example(index, 8).image, loose.example(index, 8).image)
        assert np.array_equal(packed.crop(index, 9, 8), loose.crop(index, 9, 8))


def test_a_folder_of_shards_is_read_at_any_depth(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "shards" / name).mkdir(parents=True)
        pack(folder, tmp_path / "shards" / name / "0.tar")
    (tmp_path / "shards" / "NOTICE.txt").write_text("passed over")
    assert len(open_pictures(tmp_path / "shards", 0)) == 14


def test_a_place_without_pictures_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="no pictures; give"):
            open_pictures(path, 0)
