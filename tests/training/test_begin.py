import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unclip.errors import CheckpointError, DataError, RequestError
from unclip.models.prior import Prior
from unclip.models.prior_ar import PriorAr
from unclip.text.tokenizer import Tokenizer
from unclip.training.begin import Order, begin
from unclip.training.runs import load_part
from unclip.training.tasks import DecoderTask
from unclip.training.upsampling import UpsamplerTask

Make = Callable[..., Order]
Train = Callable[..., None]


@pytest.mark.parametrize("component", ["prior", "prior_ar", "decoder"])
def test_what_stands_on_a_clip_asks_for_one(order: Make, component: str) -> None:
    with pytest.raises(RequestError, match=f"the {component} stands on a CLIP: .* --clip"):
        begin(replace(order(component), clip=None))
    assert not order(component).run.exists()


def test_a_run_stands_on_its_own(
    order: Make, train: Train, contents: Callable[[Path], Any], clip_run: Path
) -> None:
    straight = order("prior", "straight")
    train(straight)
    copy = shutil.copytree(clip_run, straight.run.with_name("clip"))
    orphan = replace(order("prior", "orphan"), clip=copy)
    train(orphan, should_stop=lambda: True)
    shutil.rmtree(copy)
    train(orphan)
    assert contents(orphan.run).items() >= contents(straight.run).items()


def test_a_run_keeps_tokenizer_and_words(order: Make, clip_run: Path) -> None:
    begin(order("decoder"))
    run = order("decoder").run
    words = ["a", "blue", "green", "red", "square", "white"]
    assert json.loads((run / "words.json").read_text()) == words
    tokenizers = [Tokenizer.load(folder / "tokenizer") for folder in (run, clip_run)]
    assert torch.equal(*(tokenizer(["a red square"]).tokens for tokenizer in tokenizers))


def test_a_clip_has_as_many_tokens_as_its_tokenizer(order: Make) -> None:
    asked = order("clip")
    network = begin(asked).network
    assert network.config.vocab_size == Tokenizer.load(asked.run / "tokenizer").vocab_size
    assert network.config.vocab_size < asked.system.clip.vocab_size


def test_a_network_takes_the_widths_of_its_clip(order: Make) -> None:
    asked = order("prior")
    shapes = replace(asked.system, prior=replace(asked.system.prior, embed_dim=5, text_width=7))
    network = begin(replace(asked, system=shapes)).network
    assert isinstance(network, Prior)
    assert (network.config.embed_dim, network.config.text_width) == (16, 32)


def test_an_autoregressive_prior_has_no_more_components_than_its_clip_has_dimensions(order: Make) -> None:
    asked = order("prior_ar")
    assert asked.system.prior_ar is not None
    wide = replace(asked.system.prior_ar, embed_dim=500, text_width=7, components=400)
    network = begin(replace(asked, system=replace(asked.system, prior_ar=wide))).network
    assert isinstance(network, PriorAr)
    assert (network.config.embed_dim, network.config.text_width, network.config.components) == (16, 32, 16)


def test_weights_are_a_function_of_the_seed(order: Make) -> None:
    def first_weight(run: str, seed: int) -> torch.Tensor:
        network = begin(order("upsampler256", run, seed=seed)).network
        return network.state_dict()["unet.conv_in.weight"]

    assert torch.equal(first_weight("a", 0), first_weight("b", 0))
    assert not torch.equal(first_weight("a", 0), first_weight("c", 1))


@pytest.mark.parametrize("component", ["prior", "prior_ar"])
def test_a_run_may_start_from_weights_and_outlive_them(
    order: Make, train: Train, contents: Callable[[Path], Any], component: str
) -> None:
    source = order(component, "source")
    train(source)
    tuned = replace(order(component, "tuned"), source=source.run, clip=None)
    trainer = begin(tuned)
    given = load_part(source.run, component, print).state_dict()
    assert all(torch.equal(t, given[n]) for n, t in trainer.network.state_dict().items())
    assert all(parameter.requires_grad for parameter in trainer.network.parameters())
    train(tuned, should_stop=lambda: True)
    straight = replace(order(component, "straight"), source=source.run, clip=None)
    train(straight)
    shutil.rmtree(source.run)
    train(tuned)
    assert contents(tuned.run).items() >= contents(straight.run).items()


def test_weights_of_another_component_are_refused(order: Make, clip_run: Path) -> None:
    with pytest.raises(CheckpointError, match="is a run of clip, a run of upsampler256 is needed"):
        begin(replace(order("upsampler256"), source=clip_run))


def test_a_folder_that_cannot_be_made_is_a_data_error(order: Make) -> None:
    asked = order("upsampler256")
    asked.run.write_text("a file")
    with pytest.raises(DataError, match="could not be written"):
        begin(asked)


@pytest.mark.parametrize("degradation", ["blur", "bsr"])
def test_an_upsampler_is_shown_the_faults_it_is_told_to(order: Make, degradation: str) -> None:
    task = begin(order("upsampler256", degradation=degradation)).task
    assert isinstance(task, UpsamplerTask)
    assert task.degradation == degradation


def test_a_decoder_draws_the_timesteps_it_is_told_to(order: Make) -> None:
    task = begin(order("decoder", timestep_power=0.2)).task
    assert isinstance(task, DecoderTask)
    assert task.timestep_power == 0.2
