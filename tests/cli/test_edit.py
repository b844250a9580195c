"""`unclip edit`: painting the hole of a picture."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unclip.imagefiles import read_image, read_metadata

SENTENCE = "a red cube on a table"
QUICK = ("--steps", 2, "--resamplings", 1)
HOLE = (slice(20, 30), slice(40, 50))
Drawn = Callable[..., list[Path]]
Refused = Callable[..., str]
pytestmark = pytest.mark.usefixtures("loaded_once")


def mask(path: Path, size: tuple[int, int] = (96, 64), mode: str = "RGBA", alpha: int = 0) -> Path:
    Image.new(mode, size, (0, 0, 0, alpha)[: len(mode)]).save(path)
    return path


def test_the_hole_is_painted_and_all_else_stays(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, holed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "painted.png"
    assert drawn("edit", holed, SENTENCE, *QUICK, "--seed", 3, "--model", model_folder, "-o", out) == [out]
    before, after = (np.asarray(read_image(file)) for file in (photo, out))
    changed = (before != after).any(axis=2)
    assert changed[HOLE].any()
    changed[HOLE] = False
    assert not changed.any()
    expected = {"task": "edit", "image": "holed.png", "mask": None, "prompt": SENTENCE, "seed": 3, "steps": 2}
    assert expected.items() <= read_metadata(out).items()
    assert source_type(out) == "compositeWithTrainedAlgorithmicMedia"


def test_the_hole_may_be_in_a_mask_beside_the_picture(
    drawn: Drawn, model_folder: Path, photo: Path, holed: Path, tmp_path: Path
) -> None:
    def painted(*arguments: object) -> Path:
        return drawn("edit", *arguments, *QUICK, "--seed", 3, "--model", model_folder, "-o", tmp_path / "o")[
            0
        ]

    by_mask = painted(photo, SENTENCE, "--mask", holed)
    assert by_mask.name == "photo-edit-3.png"
    about = read_metadata(by_mask)
    assert (about["mask"], about["guidance_scale"]) == ("holed.png", 2.0)
    by_itself = painted(holed, SENTENCE)
    assert read_image(by_mask).tobytes() == read_image(by_itself).tobytes()


def test_several_pictures_differ_in_the_hole_alone(
    drawn: Drawn, model_folder: Path, holed: Path, tmp_path: Path
) -> None:
    arguments = (*QUICK, "-n", 2, "--seed", 3, "--model", model_folder, "-o", tmp_path / "x.png")
    files = drawn("edit", holed, SENTENCE, *arguments)
    assert files == [tmp_path / "x-3.png", tmp_path / "x-4.png"]
    a, b = (np.asarray(read_image(file)) for file in files)
    rows, columns = np.nonzero((a != b).any(axis=2))
    assert 20 <= rows.min() <= rows.max() < 30
    assert 40 <= columns.min() <= columns.max() < 50


def test_a_grid_is_one_file_and_a_composite(
    drawn: Drawn, source_type: Any, model_folder: Path, holed: Path, tmp_path: Path
) -> None:
    arguments = (*QUICK, "-n", 2, "--grid", "--model", model_folder, "-o", tmp_path / "sheet.webp")
    (file,) = drawn("edit", holed, SENTENCE, *arguments)
    assert source_type(file) == "compositeWithTrainedAlgorithmicMedia"
    with Image.open(file) as image:
        assert image.size == (192, 64)


def test_the_picture_is_resized_if_asked_for(
    drawn: Drawn, model_folder: Path, holed: Path, tmp_path: Path
) -> None:
    arguments = (*QUICK, "--size", 256, "--model", model_folder, "-o", tmp_path / "x.png")
    (file,) = drawn("edit", holed, SENTENCE, *arguments)
    with Image.open(file) as image:
        assert image.size == (384, 256)


def test_json_says_what_was_made_and_which_words_are_strange(
    unclip: Any, model_folder: Path, holed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.png"
    outcome = unclip("edit", holed, "a red zebra", *QUICK, "--json", "--model", model_folder, "-o", out)
    made = json.loads(outcome.out)
    assert made["files"] == [str(out)]
    assert made["unknown_words"] == {"zebra": []}
    assert "the model has never seen the word 'zebra'" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--steps", 0), "steps must be between 1 and 1000, not 0"),
        (("--resamplings", 0), "resamplings must be at least 1, not 0"),
        (("--sampler", "euler"), "sampler 'euler' is not one of ddpm, ddim, dpm++"),
        (("--size", 65), "size 65 is not one of 64, 256, 1024"),
        (("-n", 0), "n must be at least 1, not 0"),
        (("--seed", -1), "seed must be between"),
        (("--guidance-scale", -1), "guidance_scale must be between 0 and 100"),
        (("--animation", "x.gif"), "No such option: --animation"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, holed: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("edit", holed, SENTENCE, *arguments, "--model", model_folder)


def test_a_hole_that_is_not_there_is_missed(
    refused: Refused, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    def said(*arguments: object) -> str:
        return refused("edit", photo, SENTENCE, *arguments, "--model", model_folder, "-o", tmp_path / "x.png")

    assert "there is no hole: the picture has no pixel of alpha 0" in said()
    opaque = mask(tmp_path / "opaque.png", alpha=255)
    assert "there is no hole: neither mask nor picture" in said("--mask", opaque)
    nearly = mask(tmp_path / "nearly.png", alpha=1)
    assert "there is no hole" in said("--mask", nearly)
    other = mask(tmp_path / "other.png", size=(64, 64))
    assert "the mask is 64 x 64 and the picture 96 x 64" in said("--mask", other)
    plain = mask(tmp_path / "plain.png", mode="RGB")
    assert "the mask has no alpha channel (its mode is RGB)" in said("--mask", plain)
    assert not (tmp_path / "x.png").exists()


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, model_folder: Path, photo: Path, broken: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.png"
    assert f"{gone}: cannot be read" in refused("edit", gone, SENTENCE, "--model", model_folder)
    assert f"{broken}: not a whole picture" in refused("edit", broken, SENTENCE, "--model", model_folder)
    for bad in (gone, broken):
        assert str(bad) in refused("edit", photo, SENTENCE, "--mask", bad, "--model", model_folder)


def test_a_sentence_is_needed(refused: Refused, model_folder: Path, holed: Path) -> None:
    assert "Missing argument" in refused("edit", holed, "--model", model_folder)
    assert "the prompt is empty" in refused("edit", holed, "  ", "--model", model_folder)
