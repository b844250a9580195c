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
pytestmark = pytest.mark.usefixtures("loaded_once")


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


def test_what_was_asked_for_is_in_the_metadata(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    arguments = ("--negative", "a blue apple", "--guidance-interval", "200,800", "--guidance-rescale", 0.7)
    arguments += ("--dynamic-threshold", 0.995, "--prior-steps", 3, "--prior-sampler", "ddim")
    (file,) = generate(unclip, model_folder, *arguments, "--seed", 1, "-o", tmp_path / "x.png")
    expected = {"negative": "a blue apple", "guidance_interval": [200, 800], "guidance_rescale": 0.7}
    expected |= {"dynamic_threshold": 0.995, "prior": "diffusion", "prior_steps": 3, "prior_sampler": "ddim"}
    assert expected.items() <= read_metadata(file).items()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--negative", "a blue apple"),
        ("--guidance-interval", "0,300"),
        ("--guidance-rescale", 1),
        ("--dynamic-threshold", 0.5),
        ("--prior-steps", 5),
        ("--best-of", 4),
    ],
)
def test_every_option_changes_the_picture(
    unclip: Any, model_folder: Path, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    common = ("--guidance-scale", 8, "--seed", 1)  # so strong that it leaves the range
    (plain,) = generate(unclip, model_folder, *common, "-o", tmp_path / "plain.png")
    (other,) = generate(unclip, model_folder, *common, *arguments, "-o", tmp_path / "other.png")
    a, b = (np.asarray(Image.open(file), dtype=int) for file in (plain, other))
    assert abs(a - b).max() > 2


def test_of_several_pictures_one_is_kept_for_each(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    arguments = ("--best-of", 3, "-n", 2, "--seed", 5)
    files = generate(unclip, model_folder, *arguments, "-o", tmp_path / "out")
    assert [(read_metadata(file)["seed"], read_metadata(file)["best_of"]) for file in files] == [
        (5, 3),
        (6, 3),
    ]
    (alone,) = generate(unclip, model_folder, "--best-of", 3, "--seed", 6, "-o", tmp_path / "alone.png")
    a, b = (np.asarray(Image.open(file), dtype=int) for file in (files[1], alone))
    assert abs(a - b).max() <= 2


def test_the_autoregressive_prior_draws_if_asked_for(unclip: Any, ar_folder: Path, tmp_path: Path) -> None:
    by_diffusion, by_tokens = (
        generate(unclip, ar_folder, "--prior", kind, "--seed", 1, "-o", tmp_path / f"{kind}.png")[0]
        for kind in ("diffusion", "ar")
    )
    assert read_metadata(by_tokens)["prior"] == "ar"
    assert read_metadata(by_tokens)["prior_steps"] is None
    a, b = (np.asarray(Image.open(file), dtype=int) for file in (by_diffusion, by_tokens))
    assert abs(a - b).max() > 2


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_an_animation_shows_how_the_first_picture_is_drawn(
    unclip: Any, model_folder: Path, tmp_path: Path, suffix: str
) -> None:
    film = tmp_path / f"film{suffix}"
    arguments = ("--steps", 3, "-n", 2, "--seed", 5, "--animation", film, "-o", tmp_path / "x.png")
    files = generate(unclip, model_folder, *arguments)
    assert files == [tmp_path / "x-5.png", tmp_path / "x-6.png", film]
    assert read_metadata(film)["prompt"] == SENTENCE
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 3  # the last of three steps is the picture itself
        assert image.size == (64, 64)


def test_an_animation_goes_on_through_the_upsamplers(unclip: Any, model_folder: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.apng"
    arguments = ("--size", 256, "--steps", 3, "--animation", film, "-o", tmp_path / "x.png")
    assert unclip("generate", SENTENCE, "--model", model_folder, *arguments).code == 0
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 3 + 2
        assert image.size == (256, 256)


def test_a_distilled_decoder_is_passed_over_by_what_it_cannot_do(
    unclip: Any, distilled_folder: Path, tmp_path: Path
) -> None:
    out = ("--seed", 1, "-o", tmp_path / "x.png")
    (file,) = generate(unclip, distilled_folder, "--negative", "a blue apple", *out)
    assert read_metadata(file)["decoder"] == "undistilled"
    (file,) = generate(unclip, distilled_folder, "--quality", "standard", *out)
    assert read_metadata(file)["decoder"] == "distilled"


@pytest.mark.parametrize(
    "arguments", [("--negative", "a cube"), ("--guidance-interval", "0,9"), ("--guidance-rescale", 0.5)]
)
def test_a_distilled_decoder_refuses_what_it_cannot_do(
    refused: Refused, distilled_folder: Path, arguments: tuple[object, ...]
) -> None:
    line = refused("generate", SENTENCE, *arguments, "--quality", "standard", "--model", distilled_folder)
    assert "the distilled decoder takes the guidance scale alone" in line


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
        ((SENTENCE, "--negative", " "), "the negative sentence is empty"),
        ((SENTENCE, "--negative", "a red cube " * 40), "the negative sentence has"),
        (
            (SENTENCE, "--guidance-interval", "ab"),
            "guidance interval 'ab' is not two whole numbers, as 200,800",
        ),
        ((SENTENCE, "--guidance-interval", "200"), "guidance interval '200' is not two whole numbers"),
        ((SENTENCE, "--guidance-interval", "800,200"), "guidance_interval must rise, not go from 800 to 200"),
        ((SENTENCE, "--guidance-rescale", 1.5), "guidance_rescale must be between 0 and 1, not 1.5"),
        ((SENTENCE, "--dynamic-threshold", 0), "dynamic_threshold must be above 0"),
        ((SENTENCE, "--dynamic-threshold", 2), "dynamic_threshold must be between 0 and 1, not 2"),
        ((SENTENCE, "--best-of", 0), "best_of must be at least 1, not 0"),
        ((SENTENCE, "--best-of", 2, "--animation", "x.gif"), "leave out --best-of or --animation"),
        ((SENTENCE, "--animation", "x.png"), "cannot animate as '.png'; use one of .gif, .webp, .apng"),
        ((SENTENCE, "--candidates", 0), "candidates must be at least 1, not 0"),
        ((SENTENCE, "--prior", "ar"), "this model has no autoregressive prior"),
        ((SENTENCE, "--prior", "none"), "Invalid value for '--prior'"),
        ((SENTENCE, "--prior-steps", 0), "steps must be between 1 and 1000, not 0"),
        ((SENTENCE, "--prior-sampler", "euler"), "sampler 'euler' is not one of ddpm, ddim, dpm++"),
        ((SENTENCE, "--prior-sampler", "analytic"), "measure a prior's with `unclip model analytic`"),
        ((SENTENCE, "--out", "x.gif"), "cannot save as '.gif'"),
        ((SENTENCE, "--out", "/proc/nowhere/x.png"), "cannot be written"),
        ((), "Missing argument"),
    ],
)
def test_bad_input_is_refused(
    refused: Refused, model_folder: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("generate", *arguments, "--model", model_folder)


def test_the_autoregressive_prior_has_no_steps(refused: Refused, ar_folder: Path) -> None:
    line = refused("generate", SENTENCE, "--prior", "ar", "--prior-steps", 3, "--model", ar_folder)
    assert "the autoregressive prior draws its tokens one by one: leave steps and sampler out" in line


def test_a_missing_model_is_named(refused: Refused, tmp_path: Path) -> None:
    line = refused("generate", SENTENCE, "--model", tmp_path / "gone")
    assert f"no model folder at {tmp_path / 'gone'}" in line


def test_nothing_is_left_behind_by_a_refusal(refused: Refused, model_folder: Path, tmp_path: Path) -> None:
    refused("generate", SENTENCE, "--model", model_folder, "-n", 0, "-o", tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
