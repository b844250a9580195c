from itertools import pairwise

import pytest
import torch
from torch import Tensor

from unclip.pipelines.seams import WIDEST, feathered


def square_hole(side: int) -> Tensor:
    known = torch.ones(side, side, dtype=torch.bool)
    known[side // 4 : side // 4 * 3, side // 4 : side // 4 * 3] = False
    return known


def half(side: int) -> Tensor:
    known = torch.ones(side, side, dtype=torch.bool)
    known[:, side // 2 + 1 :] = False
    return known


def specks(side: int) -> Tensor:
    return torch.rand(side, side) > 0.3


MASKS = [square_hole, half, specks]


def steps_across(images: Tensor, known: Tensor) -> tuple[float, float]:
    """The largest step between neighbours, in a row, across the seam and elsewhere."""
    step = (images[..., 1:] - images[..., :-1]).abs().amax(dim=(0, 1))
    seam = known[:, 1:] != known[:, :-1]
    return step[seam].max().item(), step[~seam].max().item()


@pytest.mark.parametrize("make", MASKS)
@pytest.mark.parametrize("side", [16, 64, 200, 256])
def test_what_is_known_is_kept_to_the_bit(make: type, side: int) -> None:
    images, known = torch.rand(2, 3, side, side) * 2 - 1, make(side)
    found = feathered(images, known)
    assert torch.equal(found[..., known], images[..., known])
    assert not torch.equal(found, images)
    assert found.abs().max() <= 1


@pytest.mark.parametrize("make", [square_hole, half])
@pytest.mark.parametrize("side", [64, 200, 300])
@pytest.mark.parametrize("step", [0.1, -0.4])
def test_a_flat_step_at_the_seam_vanishes(make: type, side: int, step: float) -> None:
    known = make(side)
    images = torch.where(known, torch.tensor(0.2), torch.tensor(0.2 + step)).expand(1, 3, side, side)
    across, elsewhere = steps_across(feathered(images, known), known)
    assert across <= elsewhere * 1.01 + 1e-3
    assert across < abs(step) * 10 / side


@pytest.mark.parametrize("side", [128, 256])
def test_a_step_that_changes_along_the_seam_vanishes_too(side: int) -> None:
    known = half(side)
    along = 0.4 * torch.linspace(0, 6, side).sin()[:, None]
    images = torch.where(known, torch.zeros(()), along).expand(1, 3, side, side)
    across, elsewhere = steps_across(feathered(images, known), known)
    assert across <= elsewhere * 1.01 + 1e-3


@pytest.mark.parametrize("side", [64, 256])
def test_nothing_changes_far_inside(side: int) -> None:
    known = half(side)
    images = torch.rand(1, 3, side, side) * 2 - 1
    found = feathered(images, known)
    far = side // 2 + 1 + round(5 * WIDEST * side)
    assert torch.equal(found[..., far:], images[..., far:])
    changes = (found - images).abs().amax(dim=(0, 1, 2))[side // 2 + 1 :]
    assert changes[0] > 0.1


def test_the_change_fades_with_the_distance() -> None:
    known = half(256)
    images = torch.where(known, torch.tensor(0.0), torch.tensor(0.5)).expand(1, 3, 256, 256)
    change = (images - feathered(images, known))[0, 0, 128, 129:]
    assert all(further <= nearer + 1e-4 for nearer, further in pairwise(change.tolist()))
    assert change[0] > 0.4
    assert change[80] == 0


@pytest.mark.parametrize("known", [True, False])
def test_without_a_seam_nothing_changes(known: bool) -> None:
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(feathered(images, torch.full((32, 32), known)), images)


def test_where_colours_meet_nothing_changes() -> None:
    images = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(feathered(images, square_hole(64)), images)


def test_pictures_do_not_depend_on_their_company() -> None:
    images, known = torch.rand(3, 3, 64, 64) * 2 - 1, square_hole(64)
    together = feathered(images, known)
    for k in range(3):
        torch.testing.assert_close(feathered(images[k : k + 1], known)[0], together[k])


@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (17, 300)])
def test_pictures_of_any_shape_are_feathered(shape: tuple[int, int]) -> None:
    known = torch.ones(shape, dtype=torch.bool)
    known[0, 0] = False
    images = torch.rand(1, 3, *shape) * 2 - 1
    found = feathered(images, known)
    assert found.shape == images.shape
    assert found.isfinite().all()
    assert torch.equal(found[..., known], images[..., known])
