"""`unclip mix`: the weighted mean of pictures and sentences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unclip.imagefiles import read_metadata

Drawn = Callable[..., list[Path]]
Refused = Callable[..., str]
pytestmark = pytest.mark.usefixtures("loaded_once")
A, B = "a red cube on a table", "a blue apple"


def test_a_picture_and_sentences_are_mixed_by_their_weights(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--weights", "2,1,0.5", "-n", 2, "--seed", 3, "--size", 64, "-o", tmp_path / "out")
    files = drawn("mix", photo, A, B, *arguments, "--model", model_folder)
    assert [file.name for file in files] == ["mix-3.png", "mix-4.png"]
    expected = {"task": "mix", "parts": [str(photo), A, B], "weights": [2, 1, 0.5], "n": 1, "seed": 4}
    assert expected.items() <= read_metadata(files[1]).items()
    assert source_type(files[0]) == "trainedAlgorithmicMedia"
    with Image.open(files[0]) as image:
        assert image.size == (64, 64)


def test_weights_count_in_proportion(drawn: Drawn, model_folder: Path, tmp_path: Path) -> None:
    def pixels(*weights: str) -> bytes:
        arguments = ("--seed", 3, "--size", 64, "--model", model_folder, "-o", tmp_path / "x.png")
        (file,) = drawn("mix", A, B, *weights, *arguments)
        with Image.open(file) as image:
            return image.tobytes()

    assert pixels() == pixels("--weights", "2,2")
    assert pixels() != pixels("--weights", "3,1")


def test_an_animation_shows_how_the_first_picture_is_drawn(
    drawn: Drawn, model_folder: Path, tmp_path: Path
) -> None:
    film, sheet = tmp_path / "film.gif", tmp_path / "sheet.png"
    arguments = ("-n", 2, "--steps", 3, "--size", 64, "--grid", "--animation", film, "-o", sheet)
    assert drawn("mix", A, B, *arguments, "--model", model_folder) == [sheet, film]
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 3  # the last of three steps is the picture itself
    with Image.open(sheet) as image:
        assert image.size == (128, 64)


def test_json_says_what_was_made_and_which_words_are_strange(
    unclip: Any, model_folder: Path, tmp_path: Path
) -> None:
    arguments = ("--size", 64, "--json", "--model", model_folder, "-o", tmp_path / "x.png")
    outcome = unclip("mix", "a red zebra", *arguments)
    made = json.loads(outcome.out)
    assert made["files"] == [str(tmp_path / "x.png")]
    assert made["unknown_words"] == {"zebra": []}
    assert "zebra" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument"),
        ((A, ""), "the prompt is empty"),
        ((A, B, "--weights", "1"), "1 weights for 2 parts: give one for each"),
        ((A, B, "--weights", "1,2,3"), "3 weights for 2 parts: give one for each"),
        ((A, B, "--weights", "-1,2"), "weights (-1.0, 2.0) must be 0 or more, and not all 0"),
        ((A, B, "--weights", "0,0"), "weights (0.0, 0.0) must be 0 or more, and not all 0"),
        ((A, B, "--weights", "1,nan"), "must be 0 or more"),
        ((A, B, "--weights", "1,inf"), "must be 0 or more"),
        ((A, B, "--weights", "ab"), "weights 'ab' are not numbers between commas, as 2,1,1"),
        ((A, B, "--weights", "1;2"), "weights '1;2' are not numbers between commas"),
        ((A, B, "-n", 0), "n must be at least 1, not 0"),
        ((A, B, "--steps", 0), "steps must be between 1 and 1000, not 0"),
        ((A, B, "--size", 100), "size 100 is not one of 64, 256, 1024"),
        ((A, B, "--guidance-scale", 101), "guidance_scale must be between 0 and 100, not 101"),
        ((A, B, "--animation", "mix.png"), "cannot animate as '.png'"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("mix", *arguments, "--model", model_folder)


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, model_folder: Path, broken: Path, tmp_path: Path
) -> None:
    for bad in (tmp_path / "gone.png", broken):
        assert str(bad) in refused("mix", A, bad, "--model", model_folder)
