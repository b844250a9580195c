"""`unclip model import`: models of other programs in unclip's own format."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from karlo_original import DECODER, NAMES, PRIOR, UPSAMPLER, write_clip, write_files
from PIL import Image
from safetensors import safe_open

from unclip import presets
from unclip.checkpoints.interop.diffusers_export import export_diffusers
from unclip.checkpoints.load import load, open_model
from unclip.checkpoints.store import named_networks, save_system
from unclip.system import System

Refused = Callable[..., str]
Drawn = Callable[..., list[Path]]


@pytest.fixture(scope="module")
def of_diffusers(karlo_like: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of diffusers: sentences/, which has no image encoder, and variations/."""
    folder = tmp_path_factory.mktemp("diffusers")
    for name, system in (("sentences", karlo_like), ("variations", replace(karlo_like, prior=None))):
        save_system(folder / "model" / name, system)
        export_diffusers(open_model(folder / "model" / name), folder / name)
    for part in ("image_encoder", "feature_extractor"):
        shutil.rmtree(folder / "sentences" / part)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    write_files(folder / "karlo")
    write_clip(folder / "clip")
    return folder


@pytest.fixture
def tiny_karlo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Karlo's preset in the shapes of the tiny files."""
    shapes = replace(presets.karlo(), prior=PRIOR, decoder=DECODER, upsampler256=UPSAMPLER)
    monkeypatch.setattr(presets, "karlo", lambda: shapes)


def test_a_folder_of_diffusers_is_the_same_model_afterwards(
    drawn: Drawn, of_diffusers: Path, karlo_like: System, tmp_path: Path
) -> None:
    folder = of_diffusers / "variations"
    (out,) = drawn("model", "import", folder, tmp_path / "deep" / "out")
    assert out == tmp_path / "deep" / "out"
    before, after = load(folder, device="cpu"), load(out, device="cpu")
    for name, network in named_networks(before).items():
        found = named_networks(after)[name].state_dict()
        assert all(torch.equal(tensor, found[key]) for key, tensor in network.state_dict().items())
    assert after.card == before.card
    assert (after.card.name, after.card.licence) == ("variations", before.card.licence)
    assert karlo_like.decoder is not None
    assert after.decoder is not None
    assert torch.equal(after.decoder.network.null_image_embed, karlo_like.decoder.network.null_image_embed)


def test_two_folders_of_diffusers_draw_from_both_sentences_and_pictures(
    drawn: Drawn, of_diffusers: Path, photo: Path, tmp_path: Path
) -> None:
    sources = (of_diffusers / "sentences", of_diffusers / "variations")
    (out,) = drawn("model", "import", *sources, tmp_path / "out")
    draw_from_both(drawn, out, photo)


@pytest.mark.usefixtures("tiny_karlo")
def test_the_originals_files_draw_from_both_sentences_and_pictures(
    drawn: Drawn, unclip: Any, original: Path, photo: Path, tmp_path: Path
) -> None:
    (out,) = drawn("model", "import", original / "karlo", original / "clip", tmp_path / "out")
    facts = json.loads(unclip("model", "info", "--json", out).out)
    assert (facts["name"], facts["licence"]) == ("Karlo v1.0 alpha", "CreativeML OpenRAIL-M")
    assert (facts["stages"]["prior"]["x0_limit"], facts["stages"]["decoder"]["num_steps"]) == (10.0, 50)
    draw_from_both(drawn, out, photo)


def draw_from_both(drawn: Drawn, model: Path, photo: Path) -> None:
    for task in (("generate", "an apple"), ("vary", photo, "--fresh")):
        for file in drawn(*task, "--model", model, "--steps", 2, "-o", photo.with_name("made.png")):
            with Image.open(file) as image:
                assert image.size == (32, 32)


@pytest.mark.usefixtures("tiny_karlo")
def test_the_originals_files_one_by_one_and_the_clip_of_a_pipeline(
    drawn: Drawn, original: Path, of_diffusers: Path, tmp_path: Path, refused: Refused
) -> None:
    files = [original / "karlo" / name for name in NAMES]
    drawn("model", "import", *files, original / "clip", tmp_path / "out")
    # A whole pipeline beside them gives its CLIP alone.
    line = refused("model", "import", *files, of_diffusers / "sentences", tmp_path / "other")
    assert "of size 32, 32 and 20, and Karlo's is of 16, 16 and 12" in line
    line = refused(
        "model", "import", *files, original / "clip", of_diffusers / "sentences", tmp_path / "other"
    )
    assert "are two of one part, CLIP" in line


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ((), torch.float32),
        (("--dtype", "bfloat16"), torch.bfloat16),
        (("--dtype", "float16"), torch.float16),
        (("--weights", "int8"), torch.int8),
    ],
)
def test_weights_are_stored_as_they_are_asked_for(
    drawn: Drawn, of_diffusers: Path, tmp_path: Path, options: tuple[str, ...], dtype: torch.dtype
) -> None:
    drawn("model", "import", of_diffusers / "sentences", tmp_path / "out", *options)
    with safe_open(tmp_path / "out" / "decoder" / "model.safetensors", framework="pt") as file:
        assert file.get_tensor("unet.mid_1.conv_1.weight").dtype == dtype


def test_full_size_files_are_what_the_command_expects(
    refused: Refused, original: Path, tmp_path: Path
) -> None:
    line = refused("model", "import", original / "karlo", original / "clip", tmp_path / "out")
    assert "Karlo's is of 768, 768 and 77: give the folder of openai/clip-vit-large-patch14" in line


def test_bad_orders_are_refused(
    refused: Refused, original: Path, of_diffusers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "home"))  # where nothing is pulled
    out, sentences = tmp_path / "out", of_diffusers / "sentences"
    assert "name at least one folder or file to import" in refused("model", "import", out)
    assert "no file or folder at" in refused("model", "import", tmp_path / "gone", out)
    assert "is there already" in refused("model", "import", sentences, of_diffusers / "variations")
    assert "not both" in refused("model", "import", sentences, out, "--dtype", "float16", "--weights", "int8")
    assert "has nothing that" in refused("model", "import", sentences, sentences, out)
    assert "karlo is not pulled: run unclip model pull karlo" in refused("model", "import", "karlo", out)
    assert "unclip's own format already" in refused("model", "import", "bundled", out)
    lacking = refused("model", "import", original / "karlo", out)
    assert "no CLIP among" in lacking
    assert "give the folder of openai/clip-vit-large-patch14" in lacking
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(drawn: Drawn, of_diffusers: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    drawn("model", "import", of_diffusers / "sentences", tmp_path / "out")
    assert (tmp_path / "out" / "system.json").is_file()


def test_the_command_says_what_it_does(unclip: Any) -> None:
    assert "SOURCE... OUT" in unclip("model", "import", "--help").out
