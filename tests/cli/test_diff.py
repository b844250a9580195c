"""`unclip diff`: a picture, changed by the difference of two sentences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unclip.imagefiles import read_metadata

Drawn = Callable[..., list[Path]]
Refused = Callable[..., str]
pytestmark = pytest.mark.usefixtures("loaded_once", "few_steps")
TO, FROM = "a blue cube", "a red cube"


def test_one_file_per_picture_of_the_way(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--steps", 3, "--size", 64, "--seed", 3, "--model", model_folder, "-o", tmp_path / "way")
    files = drawn("diff", photo, "--to", TO, "--from", FROM, *arguments)
    assert [file.name for file in files] == [f"photo-diff-{k:02}.png" for k in range(3)]
    about = [read_metadata(file) for file in files]
    assert [facts["theta"] for facts in about] == [0, 0.25, 0.5]
    expected = {"task": "text diff", "image": "photo.png", "target": TO, "source": FROM, "seed": 3}
    assert expected.items() <= about[0].items()
    assert source_type(files[0]) == "trainedAlgorithmicMedia"
    with Image.open(files[0]) as image:
        assert image.size == (64, 64)


def test_an_animation_shows_the_pictures_in_a_row(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    film, sheet = tmp_path / "film.gif", tmp_path / "sheet.png"
    arguments = ("--to", TO, "--theta", "0.25..1", "--size", 64, "--grid", "--animation", film, "-o", sheet)
    assert drawn("diff", photo, *arguments, "--model", model_folder) == [sheet, film]
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 5
    with Image.open(sheet) as image:
        assert image.size == (192, 128)


def test_a_single_picture_goes_all_the_way_and_json_says_which_words_are_strange(
    unclip: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    asked = ("--to", "a red zebra", "--from", "a blue giraffe", "--theta", "0.3", "--steps", 1)
    arguments = ("--size", 64, "--json", "--model", model_folder, "-o", tmp_path / "x.png")
    outcome = unclip("diff", photo, *asked, *arguments)
    made = json.loads(outcome.out)
    assert made["files"] == [str(tmp_path / "x.png")]
    assert read_metadata(tmp_path / "x.png")["theta"] == 0.3
    assert list(made["unknown_words"]) == ["zebra", "giraffe"]
    assert outcome.err.count("the model has never seen the word") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing option '--to'"),
        (("--to", " "), "the sentence to go to is empty"),
        (("--to", TO, "--from", " "), "the sentence to come from is empty"),
        (("--to", "a red cube " * 40), "the sentence to go to has"),
        (("--to", TO, "--from", TO), "are the same to the model: give another sentence"),
        (("--to", TO, "--theta", 1.5), "theta must be between 0 and 1, not 1.5"),
        (("--to", TO, "--theta", "-0.1..0.5"), "theta must be between 0 and 1, not -0.1"),
        (("--to", TO, "--theta", "0.5..2"), "theta must be between 0 and 1, not 2"),
        (("--to", TO, "--theta", "nan"), "theta must be between 0 and 1, not nan"),
        (("--to", TO, "--theta", "ab"), "theta 'ab' is neither a number nor two, as 0.25..0.5"),
        (("--to", TO, "--theta", "0.1..0.2..0.3"), "is neither a number nor two"),
        (("--to", TO, "--theta", "..0.5"), "is neither a number nor two"),
        (("--to", TO, "--steps", 0), "steps must be at least 1, not 0"),
        (("--to", TO, "--size", 100), "size 100 is not one of 64, 256, 1024"),
        (("--to", TO, "--seed", -1), "seed must be between"),
        (("--to", TO, "--guidance-scale", -1), "guidance_scale must be between 0 and 100, not -1"),
        (("--to", TO, "--animation", "way.mp4"), "cannot animate as '.mp4'"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, photo: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("diff", photo, *arguments, "--model", model_folder)


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, model_folder: Path, broken: Path, tmp_path: Path
) -> None:
    for bad in (tmp_path / "gone.png", broken):
        assert str(bad) in refused("diff", bad, "--to", TO, "--model", model_folder)
