"""`unclip probe`: what leading parts of a picture's embedding say."""

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


def test_one_file_per_number_of_components(
    drawn: Drawn, source_type: Any, ar_folder: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ("--components", "2,8,16", "--size", 64, "--seed", 3, "--model", ar_folder)
    files = drawn("probe", photo, *arguments, "-o", tmp_path / "out")
    assert [file.name for file in files] == [f"photo-components-{k:03}.png" for k in (2, 8, 16)]
    about = [read_metadata(file) for file in files]
    assert [facts["components"] for facts in about] == [2, 8, 16]
    shares = [facts["kept_variance"] for facts in about]
    assert 0 < shares[0] < shares[1] < shares[2] == pytest.approx(1)
    assert {"task": "probe", "image": "photo.png", "seed": 3}.items() <= about[0].items()
    assert source_type(files[0]) == "trainedAlgorithmicMedia"
    with Image.open(files[0]) as image:
        assert image.size == (64, 64)


def test_all_components_are_shown_where_the_paper_s_first_are_too_many(
    drawn: Drawn, ar_folder: Path, photo: Path, tmp_path: Path
) -> None:
    (file,) = drawn("probe", photo, "--size", 64, "--model", ar_folder, "-o", tmp_path / "x.png")
    assert read_metadata(file)["components"] == 16


def test_an_animation_shows_the_pictures_in_a_row(
    drawn: Drawn, ar_folder: Path, photo: Path, tmp_path: Path
) -> None:
    film, sheet = tmp_path / "film.apng", tmp_path / "sheet.png"
    arguments = ("--components", "1,4,16", "--size", 64, "--grid", "--animation", film, "-o", sheet)
    assert drawn("probe", photo, *arguments, "--model", ar_folder) == [sheet, film]
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 3


def test_components_are_found_in_a_folder_for_a_model_without(
    unclip: Any,
    refused: Refused,
    model_folder: Path,
    photo: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("unclip.cli.probe.EMBEDDED", 16)
    monkeypatch.setattr("unclip.cli.probe.BATCH", 8)
    arguments = (
        "--components",
        "2,16",
        "--size",
        64,
        "--json",
        "--model",
        model_folder,
        "-o",
        tmp_path / "x",
    )
    assert "the model has no principal components" in refused("probe", photo, *arguments)
    outcome = unclip("probe", photo, *arguments, "--data", pictures)
    assert outcome.code == 0
    assert len(json.loads(outcome.out)["files"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--components", "17"), "components must be between 1 and 16, not 17"),
        (("--components", "0"), "components must be between 1 and 16, not 0"),
        (("--components", "4,-4"), "components must be between 1 and 16, not -4"),
        (("--components", "ab"), "components 'ab' are not whole numbers between commas, as 20,40"),
        (("--components", "4,,8"), "components '4,,8' are not whole numbers between commas"),
        (("--components", ""), "components '' are not whole numbers between commas"),
        (("--components", "2.5"), "components '2.5' are not whole numbers between commas"),
        (("--size", 100), "size 100 is not one of 64, 256, 1024"),
        (("--seed", -1), "seed must be between"),
        (("--guidance-scale", -1), "guidance_scale must be between 0 and 100, not -1"),
        (("--data", "/nowhere"), "/nowhere"),
        (("--animation", "x.mp4"), "cannot animate as '.mp4'"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, ar_folder: Path, photo: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("probe", photo, *arguments, "--model", ar_folder)


def test_a_picture_that_is_missing_or_broken_is_named(
    refused: Refused, ar_folder: Path, broken: Path, tmp_path: Path
) -> None:
    for bad in (tmp_path / "gone.png", broken):
        assert str(bad) in refused("probe", bad, "--model", ar_folder)
