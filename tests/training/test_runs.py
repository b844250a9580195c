import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unclip.checkpoints.tensors import read_tensors
from unclip.errors import CheckpointError
from unclip.models.clip import Clip
from unclip.models.prior import Prior
from unclip.training.begin import Order, begin
from unclip.training.runs import is_run, load_clip, load_part, load_run, read_run_config

Make = Callable[..., Order]
Train = Callable[..., None]


def test_the_config_of_a_run_is_read_as_it_was_written(order: Make) -> None:
    asked = order("upsampler256", ema=(0.05, 0.2))
    trainer = begin(asked)
    config = read_run_config(asked.run)
    assert (config.component, config.train, config.data) == ("upsampler256", asked.train, "squares")
    assert config.network == trainer.network.config
    assert config.stage == asked.system.stages["upsampler256"]


def test_an_unknown_component_is_refused(order: Make) -> None:
    asked = order("upsampler256")
    begin(asked)
    path = asked.run / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "component": "oracle"}))
    with pytest.raises(CheckpointError, match="unknown component 'oracle'"):
        read_run_config(asked.run)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"learning_rate": 2e-3}, r"train\.learning_rate = 0\.001, not 0\.002"),
        ({"seed": 1}, r"train\.seed = 0, not 1"),
        ({"dropout": 0.5}, r"network\.unet\.dropout = 0\.0, not 0\.5"),
    ],
)
def test_a_run_begun_otherwise_names_the_setting(order: Make, changes: dict[str, Any], setting: str) -> None:
    begin(order("upsampler256"))
    with pytest.raises(CheckpointError, match=f"was begun with {setting}") as caught:
        begin(order("upsampler256", **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"checkpoint_minutes": 1.0}, {"sheet_minutes": 1.0}])
def test_what_the_clock_decides_may_differ(order: Make, changes: dict[str, Any]) -> None:
    begin(order("upsampler256"))
    assert vars(begin(order("upsampler256", **changes)).config).items() >= changes.items()


def test_a_run_of_another_component_is_refused(order: Make) -> None:
    begin(order("upsampler256"))
    with pytest.raises(CheckpointError, match="component = upsampler256, not clip"):
        begin(order("clip"))


def test_a_run_may_be_prolonged_before_its_decay(
    order: Make, train: Train, contents: Callable[[Path], Any]
) -> None:
    straight, prolonged = order("upsampler256", "straight", images=64), order("upsampler256", "prolonged")
    train(straight)
    train(prolonged, should_stop=lambda: True)
    longer = replace(prolonged, train=straight.train)
    train(longer)
    assert contents(longer.run).items() >= contents(straight.run).items()


@pytest.mark.parametrize("images", [64, 16])
def test_a_run_in_its_decay_is_not_prolonged_nor_cut(order: Make, train: Train, images: int) -> None:
    train(order("upsampler256"))
    with pytest.raises(
        CheckpointError, match=f"has seen 32 images, too many to end at {images} instead of 32"
    ):
        begin(order("upsampler256", images=images))


def test_a_run_is_loaded_with_its_widest_average(order: Make, train: Train) -> None:
    asked = order("prior", ema=(0.05, 0.2, 0.1))
    train(asked)
    network, named = load_run(asked.run, print), load_run(asked.run, print, ema="ema-0.050")
    for file, loaded in (("ema-0.200", network), ("ema-0.050", named)):
        expected = read_tensors(asked.run / "step-4" / f"{file}.safetensors")
        assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    assert isinstance(network, Prior)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_run_without_averages_gives_its_weights(order: Make, train: Train) -> None:
    asked = order("upsampler256", ema=())
    train(asked)
    expected = read_tensors(asked.run / "step-4" / "weights.safetensors")
    loaded = load_run(asked.run, print).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())


def test_what_a_run_lacks_is_said(order: Make, clip_run: Path) -> None:
    begin(order("upsampler256"))
    with pytest.raises(CheckpointError, match="has no whole checkpoint yet: train it first"):
        load_run(order("upsampler256").run, print)
    with pytest.raises(CheckpointError, match=r"ema-0\.900\.safetensors is missing"):
        load_run(clip_run, print, ema="ema-0.900")


def test_a_part_comes_from_a_run_or_a_model(clip_run: Path, model_folder: Path, order: Make) -> None:
    begin(order("prior"))
    for source in (clip_run, model_folder, order("prior").run):
        clip, tokenizer = load_clip(source, print)
        assert isinstance(clip, Clip)
        assert tokenizer.context_length == clip.config.context_length
    assert [is_run(folder) for folder in (clip_run, model_folder)] == [True, False]


def test_a_part_of_another_kind_is_refused(clip_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a run of clip, a run of prior is needed"):
        load_part(clip_run, "prior", print)
    with pytest.raises(CheckpointError, match="no run or model folder at"):
        load_part(tmp_path / "none", "prior", print)


def test_a_part_outlives_its_file(clip_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(clip_run, tmp_path / "copy")
    clip = load_part(copy, "clip", print)
    for path in copy.rglob("*.safetensors"):
        path.write_bytes(bytes(path.stat().st_size))
    expected = load_part(clip_run, "clip", print).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in clip.state_dict().items())
