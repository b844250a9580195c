"""`unclip interpolate`: the way from one picture or sentence to another."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unclip.imagefiles import read_metadata

Drawn = Callable[..., list[Path]]
Refused = Callable[..., str]
pytestmark = pytest.mark.usefixtures("loaded_once", "few_steps")
A, B = "a red cube on a table", "a blue apple"


def test_one_file_per_picture_of_the_way(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--steps", 3, "--size", 64, "--seed", 3, "--model", model_folder, "-o", tmp_path / "way")
    files = drawn("interpolate", photo, B, *arguments)
    assert [file.name for file in files] == [f"photo-to-a-blue-apple-{k:02}.png" for k in range(3)]
    assert [read_metadata(file)["theta"] for file in files] == [0, 0.5, 1]
    expected = {"task": "interpolation", "a": str(photo), "b": B, "steps": 3, "noise": "inverted", "seed": 3}
    assert expected.items() <= read_metadata(files[0]).items()
    assert source_type(files[0]) == "trainedAlgorithmicMedia"
    with Image.open(files[0]) as image:
        assert image.size == (64, 64)


def test_an_animation_shows_the_pictures_in_a_row(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    film, sheet = tmp_path / "film.apng", tmp_path / "sheet.png"
    arguments = ("--steps", 5, "--size", 64, "--grid", "--animation", film, "-o", sheet)
    assert drawn("interpolate", photo, B, *arguments, "--model", model_folder) == [sheet, film]
    assert read_metadata(film)["noise"] == "inverted"
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 5
    with Image.open(sheet) as image:
        assert image.size == (192, 128)


def test_the_noise_is_the_pictures_own_or_one_for_all(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--steps", 2, "--seed", 1, "--size", 64, "--model", model_folder)
    firsts = list[Any]()
    for noise in ("inverted", "fixed"):
        first, _ = drawn("interpolate", photo, B, *arguments, "--noise", noise, "-o", tmp_path / noise)
        assert read_metadata(first)["noise"] == noise
        firsts.append(np.asarray(Image.open(first), dtype=int))
    assert abs(firsts[0] - firsts[1]).max() > 2


def test_json_says_what_was_made_and_which_words_are_strange(
    unclip: Any, model_folder: Path, tmp_path: Path
) -> None:
    arguments = ("--steps", 2, "--size", 64, "--json", "--model", model_folder, "-o", tmp_path / "x.webp")
    outcome = unclip("interpolate", "a red zebra", "a blue giraffe", *arguments)
    made = json.loads(outcome.out)
    assert made["files"] == [str(tmp_path / "x-00.webp"), str(tmp_path / "x-01.webp")]
    assert made["request"]["a"] == "a red zebra"
    assert list(made["unknown_words"]) == ["zebra", "giraffe"]
    assert outcome.err.count("the model has never seen the word") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((A,), "Missing argument"),
        ((A, " "), "the prompt is empty"),
        ((A, "a red cube " * 40), "shorten it"),
        ((A, B, "--steps", 1), "steps must be at least 2, the two ends, not 1"),
        ((A, B, "--steps", "few"), "Invalid value for '--steps'"),
        ((A, B, "--noise", "loud"), "Invalid value for '--noise'"),
        ((A, B, "--size", 100), "size 100 is not one of 64, 256, 1024"),
        ((A, B, "--seed", -1), "seed must be between"),
        ((A, B, "--guidance-scale", -1), "guidance_scale must be between 0 and 100, not -1"),
        ((A, B, "--animation", "way.png"), "cannot animate as '.png'; use one of .gif, .webp, .apng"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("interpolate", *arguments, "--model", model_folder)


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, model_folder: Path, broken: Path, tmp_path: Path
) -> None:
    for bad in (tmp_path / "gone.png", broken):
        assert str(bad) in refused("interpolate", A, bad, "--model", model_folder)
