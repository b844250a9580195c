import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from unclip.data.shards import read_records
from unclip.errors import DataError
from unclip.world import Sprites
from unclip.world.build import build
from unclip.world.concepts import listed

EMOJI = {"cat": "1F408", "red apple": "1F34E"}
FLOWER = "roses/1_ab_n.jpg"


def picture(path: Path, size: tuple[int, int], colour: str = "red", mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")


@pytest.fixture
def clones(tmp_path: Path) -> Path:
    """Every repository of the list, with one or two pictures."""
    root = tmp_path / "clones"
    rows = [
        {"label": name, "hexcode": code, "emoji": "?", "tags": ["thing"], "group": 3, "subgroup": 34}
        for name, code in EMOJI.items()
    ]
    messages = {
        "groups": [{"order": 3, "message": "animals"}],
        "subgroups": [{"order": 34, "message": "mammals"}],
    }
    text(
        root / "emojibase/packages/data/en/data.raw.json",
        json.dumps([*rows, {"label": "letter", "hexcode": "41"}]),
    )
    text(root / "emojibase/packages/data/en/messages.raw.json", json.dumps(messages))
    for name, code in EMOJI.items():
        picture(root / f"fluent-emoji-optimized/assets/{name}/Default/3D_256.webp", (256, 256), mode="RGBA")
        text(root / f"fluent-emoji-optimized/assets/{name}/Default/Flat.svg", "<svg/>")
        picture(root / f"noto-emoji/png/512/emoji_u{code.lower()}.png", (512, 512), mode="RGBA")
        text(root / f"blobmoji/svg/emoji_u{code.lower()}.svg", "<svg/>")
    picture(root / "noto-emoji/png/512/emoji_u1f408_1f3fb.png", (512, 512), mode="RGBA")
    picture(root / "flower_photos/dataset/train" / FLOWER, (320, 240))
    credit = f"{FLOWER} CC-BY by Ann Other - https://example.org/1/\n"
    text(root / "cnn_hello_world/datasets/flower_photos/LICENSE.txt", credit)
    text(
        root / "clothing-dataset/images.csv",
        "image,sender_id,label,kids\na,1,Pants,True\nb,1,Not sure,False\n",
    )
    for name in "ab":
        picture(root / f"clothing-dataset/images/{name}.jpg", (400, 533))
    picture(root / "GroceryStoreDataset/dataset/train/Fruit/Pear/Anjou/Anjou_001.jpg", (348, 348))
    table = ",authors,fruit,image,painting_index,subjects,thumbnail_image,year\n"
    table += '0,"Lower, Elsie E.\n",Malus,url,1,"Malus , apples",,1910\n'
    text(
        root / "USDA_Pomological_Watercolors/data/usda_pomological_watercolors.csv",
        table,
    )
    picture(root / "USDA_Pomological_Watercolors/data/images/image-0.jpg", (127, 183), "yellow")
    for clone in root.iterdir():
        text(clone / "LICENSE", f"terms of {clone.name}")
    return root


@pytest.fixture
def resvg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in that draws every SVG file as a red square of the size asked for."""

    def svg_to_bytes(svg_string: str, width: int, height: int) -> bytes:
        assert svg_string == "<svg/>"
        picture(tmp_path / "drawn.png", (width, height), mode="RGBA")
        return (tmp_path / "drawn.png").read_bytes()

    monkeypatch.setitem(sys.modules, "resvg_py", SimpleNamespace(svg_to_bytes=svg_to_bytes))


def records(out: Path, name: str) -> dict[str, dict[str, object]]:
    return {record.key: record.fields() for record in read_records(out / name / f"{name}.tar")}


@pytest.mark.usefixtures("resvg")
def test_the_art_sets_can_be_loaded(clones: Path, tmp_path: Path) -> None:
    build(clones, tmp_path / "out")
    sprites = Sprites.load(tmp_path / "out")
    cat, apple = listed()[:2]
    assert sprites.has(cat)
    assert sprites.has(apple)
    assert [sprites.px(style, cat) for style in ("3d", "flat", "cartoon", "blob")] == [256, 1024, 512, 1024]
    assert set(records(tmp_path / "out", "noto-emoji")) == {"cat", "red-apple"}


@pytest.mark.usefixtures("resvg")
def test_records_tell_where_a_picture_comes_from(clones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(clones, out)
    drawn = records(out, "blobmoji")["cat"]
    assert drawn["source_repo"] == "C1710/blobmoji@437784e59a"
    assert drawn["source_path"] == "svg/emoji_u1f408.svg"
    assert (drawn["licence"], drawn["group"], drawn["codepoints"]) == ("Apache-2.0", "animals", "1f408")
    assert (out / "blobmoji" / "LICENSE.txt").read_text() == "terms of blobmoji"
    assert "Copyright 2013 Google" in (out / "noto-emoji" / "NOTICE.txt").read_text()


@pytest.mark.usefixtures("resvg")
def test_the_photographs_are_described_and_credited(clones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(clones, out)
    (flower,) = records(out, "tf-flowers").values()
    assert flower["caption"] == "a photo of a red rose"
    assert (flower["author"], flower["size"]) == ("Ann Other", [240, 240])
    (garment,) = records(out, "clothing").values()
    assert (garment["caption"], garment["kids"], garment["size"]) == ("a photo of trousers", True, [256, 256])
    (pear,) = records(out, "grocery-fruit-veg").values()
    assert pear["caption"] == "a photo of anjou pear in a shop"
    (apple,) = records(out, "usda-pomological").values()
    assert apple["caption"] == "a botanical watercolour painting of a yellow apple"
    assert (apple["artist"], apple["size"]) == ("Lower, Elsie E.", [117, 117])


def test_a_missing_clone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data/en: missing; clone milesj/emojibase@"):
        build(tmp_path, tmp_path / "out")


def test_without_resvg_the_error_says_what_to_install(
    clones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(DataError, match="pip install resvg_py"):
        build(clones, tmp_path / "out")
