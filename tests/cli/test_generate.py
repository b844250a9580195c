import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unclip.imagefiles import read_metadata

SENTENCE = "a red cube on a table"
Refused = Callable[..., str]


def generate(unclip: Any, model: Path, *arguments: object) -> list[Path]:
    outcome = unclip("generate", SENTENCE, "--model", model, "--size", 64, *arguments)
    assert outcome.code == 0, outcome.err
    return [Path(line) for line in outcome.out.splitlines()]


def test_a_file_is_written_where_asked_for_with_its_request(
    unclip: Any, model_folder: Path, tmp_path: Path
) -> None:
    (file,) = generate(
        unclip, model_folder, "--seed", 7, "--guidance-scale", 1.5, "-o", tmp_path / "cube.png"
    )
    assert file == tmp_path / "cube.png"
    with Image.open(file) as image:
        assert image.size == (64, 64)
    about = read_metadata(file)
    expected = {"prompt": SENTENCE, "seed": 7, "size": 64, "guidance_scale": 1.5, "steps": 4, "model": "tiny"}
    assert expected.items() <= about.items()
    assert len(about["model_hash"]) == 16


def test_a_folder_gets_one_file_per_seed(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    files = generate(unclip, model_folder, "-n", 2, "--seed", 5, "-o", tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["a-red-cube-on-a-table-5.png", "a-red-cube-on-a-table-6.png"]
    assert [read_metadata(file)["seed"] for file in files] == [5, 6]


def test_a_picture_does_not_depend_on_its_company(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    many = generate(unclip, model_folder, "-n", 3, "--seed", 5, "-o", tmp_path / "many")
    (alone,) = generate(unclip, model_folder, "--seed", 6, "-o", tmp_path / "alone.png")
    a, b = (np.asarray(Image.open(file), dtype=int) for file in (many[1], alone))
    assert abs(a - b).max() <= 2


def test_the_same_seed_gives_the_same_file(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    first, again = (
        generate(unclip, model_folder, "--seed", 1, "-o", tmp_path / f"{k}.png")[0].read_bytes()
        for k in range(2)
    )
    assert first == again


def test_without_a_seed_pictures_differ(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    seeds = {
        read_metadata(generate(unclip, model_folder, "-o", tmp_path / "x.png")[0])["seed"] for _ in range(3)
    }
    assert len(seeds) == 3


def test_a_grid_is_one_file(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    (file,) = generate(unclip, model_folder, "-n", 4, "--grid", "--seed", 1, "-o", tmp_path / "sheet.webp")
    with Image.open(file) as image:
        assert image.size == (128, 128)


def test_json_says_what_was_made_and_which_words_are_strange(
    unclip: Any, model_folder: Path, tmp_path: Path
) -> None:
    outcome = unclip(
        "generate",
        "a red cubes zebra",
        "--model",
        model_folder,
        "--size",
        64,
        "--json",
        "-o",
        tmp_path / "x.png",
    )
    made = json.loads(outcome.out)
    assert made["files"] == [str(tmp_path / "x.png")]
    assert made["unknown_words"] == {"zebra": []}
    assert "zebra" in outcome.err


def test_the_larger_sizes_go_through_the_upsamplers(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    outcome = unclip("generate", SENTENCE, "--model", model_folder, "--size", 256, "-o", tmp_path / "x.png")
    assert outcome.code == 0
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (256, 256)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((" ",), "prompt is empty"),
        (("a red cube " * 40,), "shorten it"),
        ((SENTENCE, "-n", 0), "n must be at least 1, not 0"),
        ((SENTENCE, "-n", "many"), "Invalid value for '-n'"),
        ((SENTENCE, "--size", 100), "size 100 is not one of 64, 256, 1024"),
        ((SENTENCE, "--steps", 0), "steps must be between 1 and 1000, not 0"),
        ((SENTENCE, "--sampler", "euler"), "sampler 'euler' is not one of ddpm, ddim, dpm++"),
        ((SENTENCE, "--guidance-scale", -1), "guidance_scale must be between 0 and 100"),
        ((SENTENCE, "--seed", -1), "seed must be between"),
        ((SENTENCE, "--device", "abacus"), "device 'abacus' is not available"),
        ((SENTENCE, "--out", "x.gif"), "cannot save as '.gif'"),
        ((SENTENCE, "--out", "/proc/nowhere/x.png"), "cannot be written"),
        ((), "Missing argument"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("generate", *arguments, "--model", model_folder)


def test_a_missing_model_is_named(refused: Refused, tmp_path: Path) -> None:
    line = refused("generate", SENTENCE, "--model", tmp_path / "gone")
    assert f"no model folder at {tmp_path / 'gone'}" in line


def test_nothing_is_left_behind_by_a_refusal(refused: Refused, model_folder: Path, tmp_path: Path) -> None:
    refused("generate", SENTENCE, "--model", model_folder, "-n", 0, "-o", tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
