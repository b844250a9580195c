"""The features: what they are taught, and that they are kept."""

from pathlib import Path

import pytest
import torch

from unclip.checkpoints.store import save_component
from unclip.errors import CheckpointError
from unclip.evaluation.judges.features import Features
from unclip.evaluation.judges.learning import FeaturesTask
from unclip.evaluation.judges.store import Judges, load_judges
from unclip.evaluation.look import look
from unclip.training.batches import Batch, Steps
from unclip.world import Sprites, World


@pytest.fixture(scope="module")
def batch(sprites: Sprites) -> Batch:
    world, task = World(sprites, 5), FeaturesTask()
    return Steps(lambda index: task.draw(world, index, 64), 8)[0]


def test_it_learns_to_say_what_a_batch_holds(features: Features, batch: Batch) -> None:
    network = features.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    task, generator = FeaturesTask(), torch.Generator()
    assert max(task.probe(network, batch, generator).values()) < 0.7
    for _ in range(80):
        optimizer.zero_grad()
        task.loss(network, batch, generator).backward()
        optimizer.step()
    assert set(task.probe(network, batch, generator).values()) == {1.0}


def test_one_vector_a_picture_whatever_its_size(features: Features, batch: Batch) -> None:
    pixels = batch.pixels(torch.device("cpu"))
    large = torch.nn.functional.interpolate(pixels, scale_factor=4.0)
    assert features(pixels).shape == (8, 32)
    assert torch.allclose(features(pixels), features(large), atol=0.1)


def test_judges_are_kept_and_look_alike(judges: Judges, batch: Batch, tmp_path: Path) -> None:
    for name in ("detector", "features", "clip"):
        save_component(tmp_path / name, getattr(judges, name))
    judges.tokenizer.save(tmp_path / "clip" / "tokenizer")
    pixels = batch.pixels(torch.device("cpu")).view(4, 2, 3, 64, 64)
    one, other = (look(who, lambda index: pixels[index], 4) for who in (judges, load_judges(tmp_path)))
    assert [len(seen) for seen in one.sights] == [2] * 4
    assert one.sights == other.sights
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.image_embed, other.image_embed)
    assert torch.allclose(one.image_embed.norm(dim=1), torch.ones(8))


def test_judges_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        load_judges(tmp_path)
