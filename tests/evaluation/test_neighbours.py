"""The nearest training pictures: a copy finds its own, and blocks do not matter."""

from typing import Any

import pytest
import torch

from unclip.evaluation import neighbours
from unclip.evaluation.judges.features import Features
from unclip.evaluation.neighbours import in_features, in_pixels, nearest, reduced, shown
from unclip.world import Sprites, World

COUNT = 90


@pytest.fixture(scope="module")
def training(sprites: Sprites) -> World:
    return World(sprites, 0)


def silent(done: int) -> None:
    assert 0 < done <= COUNT


def test_the_distance_in_pixels_is_the_root_mean_square_as_a_share_of_white() -> None:
    black, white = -torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    assert torch.cdist(in_pixels(black), in_pixels(white)).item() == pytest.approx(1)
    x, y = torch.rand(2, 1, 3, 8, 8) * 2 - 1
    expected = ((x - y) / 2).square().mean().sqrt().item()
    assert torch.cdist(in_pixels(x), in_pixels(y)).item() == pytest.approx(expected, rel=1e-6)


def test_pictures_are_reduced_by_area() -> None:
    large = torch.rand(2, 3, 256, 256)
    assert torch.allclose(reduced(large)[0, :, 0, 0], large[0, :, :4, :4].mean(dim=(1, 2)), atol=1e-6)
    small = torch.rand(2, 3, 64, 64)
    assert torch.equal(reduced(small), small)


def test_a_copy_of_a_training_picture_is_at_distance_zero_by_every_measure(
    training: World, features: Features
) -> None:
    copies = shown(training, [7, 83])
    for near in nearest(copies, training, COUNT, [in_pixels, in_features(features)], silent):
        assert near.indices[:, 0].tolist() == [7, 83]
        assert near.first.tolist() == pytest.approx([0, 0], abs=1e-5)
        assert near.ratio.tolist() == pytest.approx([0, 0], abs=1e-4)


def test_neighbours_are_those_of_all_pictures_at_once_whatever_the_blocks(
    training: World, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, measures = shown(training, range(100, 108)), [in_pixels, in_features(features)]
    whole = nearest(images, training, COUNT, measures, silent)
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    parts = nearest(images, training, COUNT, measures, silent)
    every = shown(training, range(COUNT))
    for describe, one, other in zip(measures, whole, parts, strict=True):
        expected = torch.cdist(describe(images), describe(every)).sort(dim=1)
        assert torch.allclose(one.distances, expected.values[:, :50], atol=1e-6)
        assert torch.allclose(one.distances, other.distances, atol=1e-6)
        assert torch.equal(one.indices[:, 0], other.indices[:, 0])
        assert one.indices.shape == (8, 50)


def test_equal_training_pictures_are_named_in_the_order_of_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 8)

    class Grey:
        def example(self, index: int, size: int) -> Any:
            from unclip.data.example import Example

            return Example(torch.full((size, size, 3), 128, dtype=torch.uint8).numpy(), "grey")

        def caption(self, index: int) -> str:
            return "grey"

        def crop(self, index: int, size: int, window: int) -> Any:
            raise NotImplementedError

    (near,) = nearest(torch.zeros(1, 3, 64, 64), Grey(), 60, [in_pixels], silent)
    assert near.indices[0].tolist() == list(range(50))


def test_a_picture_equal_to_fifty_is_a_copy() -> None:
    near = neighbours.Nearest(torch.zeros(1, 50), torch.arange(50)[None])
    assert near.ratio.tolist() == [0.0]
