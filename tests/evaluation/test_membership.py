"""Membership by the loss: the same pictures are not told apart, learned ones are."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unclip.evaluation.membership import losses, membership, timesteps
from unclip.system import System
from unclip.training.batches import Steps
from unclip.training.conditions import TextConditions
from unclip.training.tasks import DecoderTask
from unclip.world import load_photographs

DATA = Path(__file__).parents[2] / "data" / "sample"


def silent(done: int) -> None:
    assert done > 0


@pytest.fixture(scope="module")
def reader(system: System) -> TextConditions:
    return TextConditions(system.clip, system.tokenizer)


def test_losses_are_squared_errors_of_x0_and_functions_of_the_picture_alone(
    system: System, reader: TextConditions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert system.decoder is not None
    pictures = load_photographs(DATA, 0)
    found = losses(system.decoder, reader, pictures, 5, silent)
    assert found.shape == (5, len(timesteps(system.decoder)))
    assert (found > 0).all()
    monkeypatch.setattr("unclip.evaluation.membership.BATCH", 2)
    assert torch.allclose(losses(system.decoder, reader, pictures, 5, silent), found, atol=1e-5)


def test_a_decoder_that_learned_its_pictures_by_heart_gives_them_away(
    system: System, reader: TextConditions
) -> None:
    assert system.decoder is not None
    stage = replace(system.decoder, network=deepcopy(system.decoder.network).train().requires_grad_(True))
    trained, heldout = (load_photographs(DATA, 0, split) for split in ("train", "heldout"))
    few = 6
    task = DecoderTask(reader, stage.process, None, image_drop=0.0, text_drop=0.0)
    batch = Steps(lambda index: trained.example(index, stage.network.config.image_size), few)[0]
    optimizer, generator = torch.optim.Adam(stage.network.parameters(), lr=3e-3), torch.Generator()
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(stage.network, batch, generator).backward()
        optimizer.step()
    stage.network.eval()
    one, other = (losses(stage, reader, pictures, few, silent) for pictures in (trained, heldout))
    known = membership(one, other, timesteps(stage))
    assert known.overall.mean > 0.8
    assert known.pictures == (few, few)
    assert len(known.by_timestep) == len(known.timesteps)


def test_equal_losses_tell_nothing() -> None:
    loss = torch.rand(40, 3)
    found = membership(loss, loss, (1, 2, 3))
    assert found.overall.mean == pytest.approx(0.5)
    assert [one.mean for one in found.by_timestep] == pytest.approx([0.5] * 3)


def test_every_timestep_weighs_alike_overall() -> None:
    large, small = 100 * torch.rand(200, 1), torch.rand(200, 1)
    trained = torch.cat([large, small - 1 + 0.2], dim=1)
    heldout = torch.cat([large, small + 0.2], dim=1)
    found = membership(trained + 1, heldout + 1, (1, 2))
    assert found.by_timestep[0].mean == pytest.approx(0.5)
    assert found.by_timestep[1].mean > 0.95
    assert found.overall.mean > 0.6
