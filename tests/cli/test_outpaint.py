"""`unclip outpaint`: going on beyond a picture's edges."""

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
Drawn = Callable[..., list[Path]]
Refused = Callable[..., str]
pytestmark = pytest.mark.usefixtures("loaded_once")


def assert_holds(file: Path, photo: Path, x: int, y: int) -> None:
    whole, given = np.asarray(read_image(file)), np.asarray(read_image(photo))
    height, width = given.shape[:2]
    assert (whole[y : y + height, x : x + width] == given).all()


def test_the_picture_grows_by_what_is_asked_for_and_is_kept(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    sides = ("--left", 10, "--right", 20, "--top", 5, "--bottom", 7)
    arguments = (*sides, *QUICK, "--seed", 3, "--model", model_folder, "-o", tmp_path / "out")
    (file,) = drawn("outpaint", photo, SENTENCE, *arguments)
    assert file == tmp_path / "out" / "photo-outpaint-3.png"
    with Image.open(file) as image:
        assert image.size == (126, 76)
    assert_holds(file, photo, 10, 5)
    about = read_metadata(file)
    expected = {"task": "outpaint", "image": "photo.png", "prompt": SENTENCE, "left": 10, "seed": 3}
    assert expected.items() <= about.items()
    assert source_type(file) == "compositeWithTrainedAlgorithmicMedia"


def test_frames_are_painted_where_they_are_asked_for(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    frames = ("--frame", "-32,0", "--frame", "-32,-16")
    arguments = (*frames, *QUICK, "--seed", 3, "--model", model_folder, "-o", tmp_path / "x.png")
    (file,) = drawn("outpaint", photo, SENTENCE, *arguments)
    with Image.open(file) as image:
        assert image.size == (128, 80)
    assert_holds(file, photo, 32, 16)
    assert read_metadata(file)["frames"] == [[-32, 0], [-32, -16]]


def test_the_pictures_of_two_seeds_differ_beyond_the_edge(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--right", 32, *QUICK, "-n", 2, "--grid", "--model", model_folder, "-o", tmp_path / "x.png")
    (file,) = drawn("outpaint", photo, SENTENCE, *arguments)
    assert source_type(file) == "compositeWithTrainedAlgorithmicMedia"
    sheet = np.asarray(read_image(file))
    assert sheet.shape == (64, 256, 3)
    a, b = sheet[:, :128], sheet[:, 128:]
    assert (a[:, :96] == b[:, :96]).all()
    assert (a[:, 96:] != b[:, 96:]).any()


def test_candidates_are_chosen_from(drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path) -> None:
    arguments = ("--right", 32, "--candidates", 3, *QUICK, "--model", model_folder, "-o", tmp_path / "x.png")
    (file,) = drawn("outpaint", photo, SENTENCE, *arguments)
    assert read_metadata(file)["candidates"] == 3


def test_json_says_what_was_made_and_which_words_are_strange(
    unclip: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--right", 8, *QUICK, "--json", "--model", model_folder, "-o", tmp_path / "x.png")
    outcome = unclip("outpaint", photo, "a red zebra", *arguments)
    made = json.loads(outcome.out)
    assert made["files"] == [str(tmp_path / "x.png")]
    assert made["unknown_words"] == {"zebra": []}
    assert "zebra" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to paint: give --left, --right, --top, --bottom or a --frame beyond the edge"),
        (("--frame", "10,0"), "nothing to paint"),
        (("--left", -5), "left must be 0 or more pixels, not -5"),
        (("--right", 8, "--bottom", -1), "bottom must be 0 or more pixels, not -1"),
        (("--right", 9000), "the whole would be 9096 x 64: at most 8192 pixels a side"),
        (("--frame", "-96,0"), "frame -96,0 does not overlap the picture or a frame before it"),
        (("--frame", "-32"), "frame '-32' is not two whole numbers, as -128,0"),
        (("--frame", "left,0"), "frame 'left,0' is not two whole numbers"),
        (("--frame", "1,2,3"), "frame '1,2,3' is not two whole numbers"),
        (("--frame", "1.5,0"), "frame '1.5,0' is not two whole numbers"),
        (("--left", 8, "--candidates", 0), "candidates must be at least 1, not 0"),
        (("--left", 8, "--resamplings", 0), "resamplings must be at least 1, not 0"),
        (("--left", 8, "--steps", 0), "steps must be between 1 and 1000, not 0"),
        (("--left", 8, "--sampler", "euler"), "sampler 'euler' is not one of ddpm, ddim, dpm++"),
        (("--left", 8, "-n", 0), "n must be at least 1, not 0"),
        (("--left", "far"), "Invalid value for '--left'"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, photo: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("outpaint", photo, SENTENCE, *arguments, "--model", model_folder)


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, model_folder: Path, broken: Path, tmp_path: Path
) -> None:
    for bad in (tmp_path / "gone.png", broken):
        assert str(bad) in refused("outpaint", bad, SENTENCE, "--left", 8, "--model", model_folder)
