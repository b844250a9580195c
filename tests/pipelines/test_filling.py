from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import Plan, Step, drive
from unclip.diffusion.noise import derived_seed
from unclip.errors import RequestError
from unclip.images import from_pil
from unclip.pipelines import stages
from unclip.pipelines.checks import LARGEST_SEED
from unclip.pipelines.filling import Painting, decoder_settings, paint, working_size
from unclip.pipelines.given import embed
from unclip.pipelines.inversion import decoder_of
from unclip.system import System

Draw = Callable[..., Image.Image]


def settings(system: System, **changes: Any) -> Painting:
    chosen = decoder_settings(system, 2, None, "ddpm")
    return replace(Painting("a red cube", [5, 6], chosen, resamplings=1, candidates=1), **changes)


def watched(plan: Plan) -> tuple[list[Step], Tensor]:
    steps, seen = drive(plan), list[Step]()
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def hole(side: int, *box: int) -> Tensor:
    """All is known but what lies in the box: left, top, right, bottom."""
    known = torch.ones(side, side, dtype=torch.bool)
    left, top, right, bottom = box
    known[top:bottom, left:right] = False
    return known


@pytest.fixture(scope="module")
def images(picture: Draw) -> Tensor:
    return from_pil([picture(0), picture(1)])


@pytest.mark.parametrize(
    ("side", "size"), [(1, 64), (64, 64), (65, 256), (256, 256), (257, 1024), (1024, 1024), (3000, 1024)]
)
def test_a_frame_is_painted_at_the_smallest_size_that_is_as_large(
    system: System, side: int, size: int
) -> None:
    assert working_size(system, side) == size


def test_a_model_that_ends_at_64_pixels_paints_at_64(system: System) -> None:
    assert working_size(replace(system, upsamplers=()), 500) == 64


def test_what_is_known_comes_back_to_the_bit_and_the_rest_is_new(system: System, images: Tensor) -> None:
    known, before = hole(64, 20, 20, 40, 50), images.clone()
    _, found = watched(paint(system, images, known, [(0, 0)], 64, settings(system)))
    assert torch.equal(found[..., known], images[..., known])
    assert torch.equal(images, before)
    changed = (found - images)[..., ~known].abs()
    assert (changed > 1e-3).float().mean() > 0.9
    assert found.abs().max() <= 1


def test_every_prediction_holds_what_is_known(system: System, images: Tensor) -> None:
    known = hole(64, 20, 20, 40, 50)
    steps, _ = watched(paint(system, images, known, [(0, 0)], 64, settings(system)))
    painted = [step for step in steps if step.stage == "decoder"]
    assert len(painted) == 2
    for step in painted:
        assert torch.equal(step.x0[..., known], images[..., known])


def test_the_upsampler_keeps_what_is_known_and_the_decoder_what_is_known_at_its_size(
    system: System, picture: Draw
) -> None:
    images, known = from_pil([picture(0, (256, 256))]), hole(256, 81, 81, 120, 120)
    plan = paint(system, images, known, [(0, 0)], 256, settings(system, seeds=[5]))
    steps, found = watched(plan)
    assert [step.stage for step in steps] == ["prior"] * 2 + ["decoder"] * 2 + ["upsampler256"] * 2
    small = torch.nn.functional.avg_pool2d(images, 4)
    wholly = torch.nn.functional.avg_pool2d(known[None].float(), 4)[0] == 1  # a pixel of parts is not known
    x0 = {step.stage: step.x0 for step in steps}
    torch.testing.assert_close(x0["decoder"][..., wholly], small[..., wholly])
    assert torch.equal(x0["upsampler256"][..., known], images[..., known])
    assert torch.equal(found[..., known], images[..., known])


def test_nothing_of_the_hole_is_looked_at(system: System, images: Tensor) -> None:
    known = hole(64, 10, 20, 40, 50)
    other = torch.where(known, images, -images.flip(-1))
    found, again = (
        watched(paint(system, x, known, [(0, 0)], 64, settings(system)))[1] for x in (images, other)
    )
    assert torch.equal(found, again)


def test_frames_are_painted_one_after_the_other(system: System, picture: Draw) -> None:
    """What one has painted is known to the next, and each has noise of its own."""
    images = torch.cat([from_pil([picture()]), torch.zeros(1, 3, 64, 64)], dim=-1)
    known = torch.zeros(64, 128, dtype=torch.bool)
    known[:, :64] = True
    places, painting = [(32, 0), (64, 0)], settings(system, seeds=[5])
    steps, found = watched(paint(system, images, known, places, 64, painting))
    first, second = (step.x0 for step in steps if (step.stage, step.index) == ("decoder", 2))
    assert torch.equal(second[..., :32], found[..., 64:96])
    assert torch.equal(first[..., :32], images[..., 32:64])
    _, once = watched(paint(system, images, known, places[:1], 64, painting))
    assert torch.equal(once[..., :96], found[..., :96])


def test_a_picture_does_not_depend_on_its_company(system: System, images: Tensor) -> None:
    known = hole(64, 20, 20, 40, 50)
    _, together = watched(paint(system, images, known, [(0, 0)], 64, settings(system)))
    for k in range(2):
        alone = settings(system, seeds=[5 + k])
        _, found = watched(paint(system, images[k : k + 1], known, [(0, 0)], 64, alone))
        assert (found[0] - together[k]).abs().max() < 1e-4


def test_of_the_candidates_the_one_nearest_the_sentence_is_kept(system: System, images: Tensor) -> None:
    known, text = hole(64, 8, 8, 60, 60), "a red cube"
    text_embed = stages.encode_text(system.clip, system.tokenizer, [text])["text_embed"]
    seeds = [5] + [derived_seed(5, "candidate", k) % LARGEST_SEED for k in (1, 2, 3)]
    alone = list[tuple[float, Tensor]]()
    for seed in seeds:
        steps, found = watched(paint(system, images[:1], known, [(0, 0)], 64, settings(system, seeds=[seed])))
        likeness = (embed(system, steps[-1].x0.clamp(-1, 1)) @ text_embed.T).item()
        alone.append((likeness, found))
    best = max(alone, key=lambda each: each[0])[1]
    assert not torch.equal(best, alone[0][1])  # or the test tells nothing
    painting = settings(system, seeds=[5], candidates=4)
    _, kept = watched(paint(system, images[:1], known, [(0, 0)], 64, painting))
    assert (kept - best).abs().max() < 1e-4


def test_candidates_are_drawn_for_each_picture(
    system: System, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, rows = decoder_of(system).network, list[int]()
    forward = network.forward
    monkeypatch.setattr(
        network, "forward", lambda x_t, *a, **k: (rows.append(len(x_t)), forward(x_t, *a, **k))[1]
    )
    painting = settings(system, candidates=3, decoder=decoder_settings(system, 2, 1.0, "ddim"))
    _, found = watched(paint(system, images, hole(64, 20, 20, 40, 50), [(0, 0)], 64, painting))
    assert rows == [6, 6]
    assert len(found) == 2


@pytest.mark.parametrize(("steps", "resamplings", "asked"), [(5, 1, 5), (5, 3, 13), (6, 2, 11), (1, 4, 1)])
def test_stretches_of_the_decoders_steps_are_walked_again(
    system: System, images: Tensor, steps: int, resamplings: int, asked: int
) -> None:
    chosen = decoder_settings(system, steps, 1.0, "ddpm")
    painting = settings(system, seeds=[5], decoder=chosen, resamplings=resamplings)
    seen, _ = watched(paint(system, images[:1], hole(64, 20, 20, 40, 50), [(0, 0)], 64, painting))
    assert [step.num_steps for step in seen if step.stage == "decoder"] == [asked] * asked


def test_settings_are_the_decoders_but_for_the_sampler(system: System) -> None:
    found = decoder_settings(system, None, None, "ddpm")
    assert (found.sampler, found.num_steps, found.guidance_scale) == ("ddpm", 4, 2.0)
    assert decoder_settings(system, 7, 1.0, "ddim").num_steps == 7


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((0, None, "ddpm"), "steps must be between 1 and 1000, not 0"),
        ((None, 101.0, "ddpm"), "guidance_scale must be between 0 and 100, not 101"),
        ((None, None, "euler"), "sampler 'euler' is not one of"),
        ((None, None, "analytic"), "needs moments that this stage was not measured for"),
    ],
)
def test_what_the_decoder_cannot_do_is_refused(system: System, asked: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        decoder_settings(system, *asked)
