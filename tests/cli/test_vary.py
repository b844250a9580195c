"""`unclip vary`: pictures like a given one."""

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
pytestmark = pytest.mark.usefixtures("loaded_once")
SMALL = ("--size", 64, "--steps", 3)


def test_a_folder_gets_one_file_per_seed_with_its_request(
    drawn: Drawn, source_type: Any, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    files = drawn(
        "vary", photo, "-n", 2, "--seed", 5, *SMALL, "--model", model_folder, "-o", tmp_path / "new"
    )
    assert [file.name for file in files] == ["photo-variation-5.png", "photo-variation-6.png"]
    expected = {"task": "variation", "image": "photo.png", "eta": 0.5, "fresh": False, "n": 1, "steps": 3}
    for k, file in enumerate(files):
        about = read_metadata(file)
        assert expected.items() <= about.items()
        assert (about["seed"], about["model"]) == (5 + k, "tiny")
        assert source_type(file) == "trainedAlgorithmicMedia"
        with Image.open(file) as image:
            assert image.size == (64, 64)


def test_four_are_drawn_unless_asked_otherwise(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    files = drawn(
        "vary", photo, "--fresh", "--seed", 1, "--size", 64, "--model", model_folder, "-o", tmp_path / "out"
    )
    assert len(files) == 4
    assert len({file.read_bytes() for file in files}) == 4
    about = read_metadata(files[0])  # with the model's own settings where none were named
    assert (about["steps"], about["guidance_scale"]) == (4, 2.0)


def test_without_noise_drawn_anew_all_seeds_give_one_picture(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path
) -> None:
    def difference(eta: float) -> int:
        arguments = ("--eta", eta, "--seed", 1, "-n", 2, "--model", model_folder, "-o", tmp_path / "x.png")
        a, b = (np.asarray(Image.open(file), dtype=int) for file in drawn("vary", photo, *SMALL, *arguments))
        return int(abs(a - b).max())

    assert difference(0) <= 1 < difference(1)


def test_a_grid_is_one_file(drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path) -> None:
    (file,) = drawn(
        "vary", photo, "--grid", "--seed", 7, *SMALL, "--model", model_folder, "-o", tmp_path / "out"
    )
    assert file.name == "photo-variation-7-grid.png"
    with Image.open(file) as image:
        assert image.size == (128, 128)


def test_json_says_what_was_made(unclip: Any, model_folder: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.webp"
    outcome = unclip("vary", photo, "-n", 1, *SMALL, "--json", "--model", model_folder, "-o", out)
    made = json.loads(outcome.out)
    assert made["files"] == [str(out)]
    assert made["request"]["task"] == "variation"
    assert made["unknown_words"] == {}


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_an_animation_shows_how_the_first_picture_is_drawn(
    drawn: Drawn, model_folder: Path, photo: Path, tmp_path: Path, suffix: str
) -> None:
    out, film = tmp_path / "x.png", tmp_path / f"film{suffix}"
    arguments = ("-n", 2, "--seed", 1, *SMALL, "--animation", film, "-o", out)
    files = drawn("vary", photo, *arguments, "--model", model_folder)
    assert files == [tmp_path / "x-1.png", tmp_path / "x-2.png", film]
    assert read_metadata(film)["task"] == "variation"
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 3  # the last of three steps is the picture itself
        assert image.size == (64, 64)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", 0), "n must be at least 1, not 0"),
        (("--eta", 1.5), "eta must be between 0 and 1, not 1.5"),
        (("--eta", "much"), "Invalid value for '--eta'"),
        (("--steps", 0), "steps must be between 1 and 1000, not 0"),
        (("--fresh", "--steps", 2000), "steps must be between 1 and 1000, not 2000"),
        (("--size", 100), "size 100 is not one of 64, 256, 1024"),
        (("--seed", -1), "seed must be between"),
        (("--guidance-scale", 101), "guidance_scale must be between 0 and 100, not 101"),
        (("-o", "x.bmp"), "cannot save as '.bmp'"),
        (("--animation", "x.mp4"), "cannot animate as '.mp4'; use one of .gif, .webp, .apng"),
        (("--animation", "/proc/nowhere/x.gif"), "cannot be written"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, photo: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("vary", photo, *arguments, "--model", model_folder)


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, model_folder: Path, broken: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.png"
    assert f"{gone}: cannot be read" in refused("vary", gone, "--model", model_folder)
    assert f"{broken}: not a whole picture" in refused("vary", broken, "--model", model_folder)
    assert f"{tmp_path}: cannot be read" in refused("vary", tmp_path, "--model", model_folder)
    assert "Missing argument" in refused("vary")
