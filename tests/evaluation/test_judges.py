"""The detector: its targets, its reading of maps, and that it learns."""

from random import Random

import numpy as np
import pytest
import torch

from unclip.evaluation.judges.detector import Detector, Maps, distinct
from unclip.evaluation.judges.learning import DetectorTask, focal_loss, targets
from unclip.evaluation.judges.roughen import roughened
from unclip.evaluation.rules import Detection
from unclip.training.batches import Batch, Steps
from unclip.world import Sprites, World


@pytest.fixture(scope="module")
def batch(sprites: Sprites) -> Batch:
    world, task = World(sprites, 5), DetectorTask()
    return Steps(lambda index: task.draw(world, index, 64), 8)[0]


def test_what_the_targets_say_is_seen(
    detector: Detector, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the targets as if the network had answered with them gives back the truth."""
    config = detector.config
    t = targets(batch.truths, config, detector.grid, torch.device("cpu"))
    boxes, colours = torch.zeros(8, 4, 8, 8), torch.zeros(8, len(config.colours), 8, 8)
    boxes[t.rows, :, t.y, t.x] = t.boxes
    colours[t.rows, t.colours.clamp(min=0), t.y, t.x] = 1
    style = torch.nn.functional.one_hot(t.style, len(config.styles)).float()
    background = torch.nn.functional.one_hot(t.background, len(config.backgrounds)).float()
    maps = Maps(t.heat.logit(eps=1e-6), boxes, colours, style, background, torch.zeros(8, 1))
    monkeypatch.setattr(detector, "forward", lambda x: maps)
    for sight, truth in zip(detector.see(torch.zeros(8, 3, 64, 64)), batch.truths, strict=True):
        assert (sight.style, sight.background) == (truth.style, truth.background)
        sure = [thing for thing in sight.detections if thing.score > 0.99]
        assert sorted(thing.concept for thing in sure) == sorted(thing.concept for thing in truth.detections)
        for thing in truth.detections:
            near = [found for found in sure if np.allclose(found.box, thing.box, atol=1e-5)]
            assert len(near) == 1
            assert thing.colour in ("", near[0].colour)


def test_pictures_of_other_sizes_are_resized(detector: Detector, batch: Batch) -> None:
    pixels = batch.pixels(torch.device("cpu"))
    large = torch.nn.functional.interpolate(pixels, scale_factor=4.0)
    ours, theirs = detector(pixels), detector(large)
    assert ours.concepts.shape == theirs.concepts.shape == (8, 65, 8, 8)
    assert torch.allclose(ours.features, theirs.features, atol=0.2)


def test_two_boxes_over_each_other_are_one_thing_unless_they_are_of_two_concepts() -> None:
    sure = Detection("cat", 0.9, (0.1, 0.1, 0.5, 0.5), "red")
    same, other = (Detection(c, 0.8, (0.12, 0.1, 0.52, 0.5), "red") for c in ("cat", "dog"))
    apart = Detection("cat", 0.7, (0.6, 0.6, 0.9, 0.9), "red")
    assert distinct([sure, same, other, apart]) == [sure, other, apart]


def test_roughening_changes_a_picture_little_and_always_alike() -> None:
    pixels = np.full((64, 64, 3), 128, dtype=np.uint8)
    pixels[16:48, 16:48] = 200
    rough = [roughened(pixels, Random(seed)) for seed in range(40)]
    again = [roughened(pixels, Random(seed)) for seed in range(40)]
    assert np.array_equal(rough, again)
    off = [np.abs(one.astype(float) - pixels).mean() for one in rough]
    assert max(off) < 12
    assert sum(o > 0 for o in off) > 25


def test_focal_loss_is_least_where_the_heat_is(detector: Detector, batch: Batch) -> None:
    heat = targets(batch.truths, detector.config, detector.grid, torch.device("cpu")).heat
    right, wrong = heat.logit(eps=1e-4), heat.flip(0).logit(eps=1e-4)
    assert focal_loss(right, heat) < 0.05 * focal_loss(wrong, heat)


def test_it_learns_a_batch_by_heart(detector: Detector, batch: Batch) -> None:
    network = detector.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    task, generator = DetectorTask(), torch.Generator()
    first = task.loss(network, batch, generator).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = task.loss(network, batch, generator)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first
    assert sum(task.probe(network, batch, generator).values()) < 0.1 * first
