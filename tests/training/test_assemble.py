import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unclip.checkpoints.store import load_system, save_system
from unclip.errors import CheckpointError, DataError, RequestError
from unclip.system import System
from unclip.training.assemble import assemble
from unclip.training.begin import Order
from unclip.training.runs import load_run

Make = Callable[..., Order]
Train = Callable[..., None]


def make(out: Path, *runs: Path, base: Path | None = None, **chosen: Any) -> None:
    assemble(runs, out, name="mine", licence="CC0", base=base, int8=False, warn=print, **chosen)


def test_runs_make_a_model_of_their_averages(
    order: Make, train: Train, clip_run: Path, tmp_path: Path
) -> None:
    runs = {name: order(name, name) for name in ("prior", "decoder", "upsampler256")}
    for run in runs.values():
        train(run)
    make(tmp_path / "model", clip_run, *(run.run for run in runs.values()))
    system = load_system(tmp_path / "model")
    assert system.sizes == (64, 256)
    assert system.card.words == ("a", "blue", "green", "red", "square", "white")
    assert system.card.training_data == tuple(f"{name}: squares" for name in ("clip", *runs))
    last = json.loads((runs["prior"].run / "metrics.jsonl").read_text().splitlines()[-1])
    assert system.card.metrics["prior images"] == last["images"]
    assert system.card.metrics["prior cosine"] == last["cosine"]
    assert {"clip accuracy", "decoder text_gap", "upsampler256 psnr"} < system.card.metrics.keys()
    expected = load_run(runs["prior"].run, print).state_dict()
    assert system.prior is not None
    found = system.prior.network.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_an_autoregressive_prior_joins_a_model_and_stays_in_it(
    order: Make, train: Train, clip_run: Path, tmp_path: Path
) -> None:
    asked, decoder = order("prior_ar", "prior_ar"), order("decoder", "decoder")
    train(asked)
    train(decoder)
    make(tmp_path / "model", asked.run)  # with the CLIP it stands on
    make(tmp_path / "based", decoder.run, base=tmp_path / "model")
    expected = load_run(asked.run, print).state_dict()
    for folder in ("model", "based"):
        system = load_system(tmp_path / folder)
        assert system.prior_ar is not None
        found = system.prior_ar.state_dict()
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
        assert "prior_ar: squares" in system.card.training_data
        assert {"prior_ar kept_variance", "prior_ar cosine"} < system.card.metrics.keys()
    make(tmp_path / "without", clip_run, decoder.run)
    assert load_system(tmp_path / "without").prior_ar is None


def test_average_and_guidance_are_those_asked_for(order: Make, train: Train, tmp_path: Path) -> None:
    run = order("decoder").run
    train(order("decoder"))
    make(tmp_path / "model", run, ema=0.05, guidance_scale=3.5)
    system = load_system(tmp_path / "model")
    assert system.decoder is not None
    assert system.decoder.defaults.guidance_scale == 3.5
    found, narrow = system.decoder.network.state_dict(), load_run(run, print, "ema-0.050").state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in narrow.items())
    wide = load_run(run, print).state_dict()
    assert not all(torch.equal(tensor, found[name]) for name, tensor in wide.items())
    with pytest.raises(CheckpointError, match=r"ema-0\.300\.safetensors is missing"):
        make(tmp_path / "other", run, ema=0.3)
    with pytest.raises(RequestError, match="a guidance scale is a decoder's"):
        make(tmp_path / "other", run, guidance_scale=-1.0)


def test_a_stage_trained_anew_is_told_of_once(order: Make, train: Train, tmp_path: Path) -> None:
    run = order("decoder").run
    train(order("decoder"))
    make(tmp_path / "model", run)
    make(tmp_path / "again", run, base=tmp_path / "model")
    assert load_system(tmp_path / "again").card.training_data == ("decoder: squares",)


def test_the_words_are_those_that_the_decoder_was_told(
    order: Make, train: Train, clip_run: Path, tmp_path: Path
) -> None:
    runs = {name: order(name, name).run for name in ("prior", "decoder")}
    for name, run in runs.items():
        train(order(name, name))
        (run / "words.json").write_text(json.dumps([name]))
    make(tmp_path / "model", clip_run, *runs.values())
    assert load_system(tmp_path / "model").card.words == ("decoder",)
    make(tmp_path / "without", clip_run, runs["prior"])
    assert load_system(tmp_path / "without").card.words == (
        "a", "blue", "green", "prior", "red", "square", "white",
    )  # fmt: skip
    make(tmp_path / "based", runs["prior"], base=tmp_path / "model")
    assert load_system(tmp_path / "based").card.words == ("decoder",)


def test_a_run_brings_the_clip_it_stands_on(order: Make, train: Train, tmp_path: Path) -> None:
    asked = order("prior")
    train(asked)
    make(tmp_path / "model", asked.run)
    system = load_system(tmp_path / "model")
    assert system.prior is not None
    assert system.decoder is None


@pytest.fixture
def another_clip(order: Make, train: Train) -> Path:
    asked = order("clip", "another", seed=1)
    train(asked)
    return asked.run


def test_a_run_on_another_clip_is_refused(
    order: Make, train: Train, another_clip: Path, tmp_path: Path
) -> None:
    asked = order("prior")
    train(asked)
    with pytest.raises(CheckpointError, match="run was trained on another CLIP"):
        make(tmp_path / "model", another_clip, asked.run)
    assert not (tmp_path / "model").exists()


def test_a_new_clip_does_not_join_stages_of_a_model_with_another(
    another_clip: Path, model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="tiny was trained on another CLIP"):
        make(tmp_path / "model", another_clip, base=model_folder)


def test_what_cannot_be_assembled_is_said(order: Make, train: Train, tmp_path: Path) -> None:
    asked = order("upsampler256")
    train(asked)
    with pytest.raises(RequestError, match="is there already: choose another folder"):
        make(tmp_path, asked.run)
    with pytest.raises(CheckpointError, match="no CLIP among the runs"):
        make(tmp_path / "model", asked.run)
    twin: Any = replace(asked, run=tmp_path / "twin")
    train(twin)
    with pytest.raises(CheckpointError, match="2 runs make only upsampler256"):
        make(tmp_path / "model", asked.run, twin.run)


def test_the_default_quality_is_the_one_named_or_that_of_the_base(
    clip_run: Path, system: System, tmp_path: Path
) -> None:
    def quality(out: str, base: Path | None, named: Any) -> str:
        runs = [] if base else [clip_run]
        assemble(
            runs,
            tmp_path / out,
            name="",
            licence="",
            base=base,
            int8=False,
            default_quality=named,
            warn=print,
        )
        return load_system(tmp_path / out).default_quality

    save_system(tmp_path / "base", replace(system, default_quality="draft"))
    assert quality("a", None, None) == "best"
    assert quality("b", tmp_path / "base", None) == "draft"
    assert quality("c", tmp_path / "base", "standard") == "standard"


def test_a_distilled_decoder_on_another_clip_is_refused(
    another_clip: Path, distilled_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(distilled_folder, tmp_path / "base"))
    values = json.loads((copy / "system.json").read_text())
    for stage in ("prior", "decoder"):
        del values["stages"][stage]
    (copy / "system.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="base was trained on another CLIP"):
        make(tmp_path / "model", another_clip, base=copy)


def test_an_autoregressive_prior_on_another_clip_is_refused(
    another_clip: Path, ar_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(ar_folder, tmp_path / "base"))
    values = json.loads((copy / "system.json").read_text())
    for stage in ("prior", "decoder"):
        del values["stages"][stage]
    (copy / "system.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="base was trained on another CLIP"):
        make(tmp_path / "model", another_clip, base=copy)


def test_a_model_that_cannot_be_written_is_a_data_error(clip_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="model could not be written"):
        make(tmp_path / "file" / "model", clip_run)
