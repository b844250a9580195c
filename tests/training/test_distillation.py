from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unclip import presets
from unclip.diffusion.driver import answer
from unclip.diffusion.guides import clamp
from unclip.diffusion.noise import generator
from unclip.diffusion.process import Process, ProcessConfig
from unclip.diffusion.samplers import Query
from unclip.diffusion.schedule import respace
from unclip.models.decoder import Decoder, guided_copy
from unclip.models.upsampler import Upsampler
from unclip.pipelines.stages import decoder_conditions, decoder_guide, encode_text_and_empty
from unclip.system import System
from unclip.training.batches import Batch
from unclip.training.conditions import TextConditions
from unclip.training.distillation import (
    GuidanceTask,
    Teacher,
    TrajectoryTask,
    legs,
)
from unclip.training.one_step import OneStepTask, feature_distance, tiles
from unclip.training.tasks import Task
from unclip.training.upsampling import UpsamplerTask

CPU = torch.device("cpu")
PROCESS = Process(ProcessConfig())
CAPTIONS = ["a red cube", "a blue cube", "a red apple", "a blue apple"]
Given = dict[str, Tensor]


class Oracle(Decoder):
    """A decoder that answers by a function, and remembers what it was asked last."""

    def __init__(self, answer: Callable[..., Tensor], guided: bool = False):
        nn.Module.__init__(self)
        self.config = replace(presets.tiny().decoder, guided=guided)
        self.answer = answer
        self.device = nn.Parameter(torch.zeros(()))  # tells tasks where it is

    def forward(self, x_t: Tensor, t: Tensor, **given: Tensor) -> Tensor:
        self.asked = {"x_t": x_t, "t": t, **given}
        return self.answer(x_t, t, **given)


def random_batch(count: int = 4, size: int = 64) -> Batch:
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Batch(torch.from_numpy(pixels), [CAPTIONS[i % len(CAPTIONS)] for i in range(count)])


def seeded() -> torch.Generator:
    return generator(CPU, "test")


def rows(count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, timesteps and guidance scales."""
    x_t = torch.randn(count, 3, 64, 64)
    return x_t, torch.randint(1000, (count,)), 1 + 3 * torch.rand(count)


@pytest.fixture
def decoder(system: System) -> Decoder:
    assert system.decoder is not None
    return system.decoder.network


@pytest.fixture
def student(distilled_system: System) -> Decoder:
    """A decoder that hears the guidance scale."""
    assert distilled_system.distilled is not None
    return distilled_system.distilled.network


@pytest.fixture
def given(conditions: TextConditions) -> tuple[Any, Any]:
    """Conditions of four pictures, and the absence of theirs."""
    text, empty = encode_text_and_empty(conditions.clip, conditions.tokenizer, CAPTIONS)
    return decoder_conditions(torch.randn(4, conditions.clip.config.embed_dim), text, empty)


def falls(task: Task, network: nn.Module, batch: Batch, rate: float) -> float:
    """How much of the loss is left after learning one batch, always with the same noise."""
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=rate)
    losses = list[float]()
    for _ in range(12):
        loss = task.loss(network, batch, seeded())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[-1] / losses[0]


# The teacher


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("guided", [True, False])
def test_a_teacher_says_what_sampling_takes_it_to_say(
    decoder: Decoder, student: Decoder, given: tuple[Any, Any], scale: float, guided: bool
) -> None:
    network = student if guided else decoder
    x_t, *_ = rows()
    guide = clamp(PROCESS, decoder_guide(network, PROCESS, *given, scale))
    expected = answer(Query(x_t, 300), guide, network)
    said = Teacher(network, PROCESS).predict(x_t, torch.full((4,), 300), torch.full((4,), scale), *given)
    torch.testing.assert_close(said.x0, expected.x0, atol=1e-4, rtol=0)
    torch.testing.assert_close(said.eps, expected.eps, atol=1e-4, rtol=0)


def test_every_row_is_taught_at_its_own_scale_and_timestep(decoder: Decoder, given: tuple[Any, Any]) -> None:
    x_t, t, scale = rows()
    together = Teacher(decoder, PROCESS).predict(x_t, t, scale, *given)
    for k in range(4):
        alone = [{name: tensor[k : k + 1] for name, tensor in each.items()} for each in given]
        said = Teacher(decoder, PROCESS).predict(x_t[k : k + 1], t[k : k + 1], scale[k : k + 1], *alone)
        torch.testing.assert_close(said.x0, together.x0[k : k + 1], atol=1e-4, rtol=0)


def test_a_scale_of_one_teaches_the_conditions_alone(decoder: Decoder, given: tuple[Any, Any]) -> None:
    x_t, t, _ = rows()
    said = Teacher(decoder, PROCESS).predict(x_t, t, torch.ones(4), *given)
    plain = PROCESS.clamped(PROCESS.predict(decoder(x_t, t, **given[0]), x_t, t), x_t, t)
    torch.testing.assert_close(said.x0, plain.x0, atol=1e-5, rtol=0)


@pytest.mark.parametrize("task", ["guidance", "steps"])
def test_only_the_student_gets_a_gradient(task: str, decoder: Decoder, conditions: TextConditions) -> None:
    frozen, network = Decoder(decoder.config), guided_copy(decoder)
    frozen.load_state_dict(decoder.state_dict())
    lesson(task, conditions, Teacher(frozen, PROCESS)).loss(network, random_batch(), seeded()).backward()
    assert all(parameter.grad is None for parameter in frozen.parameters())
    assert network.guidance_embed is not None
    assert network.guidance_embed.linear_2.weight.grad is not None
    assert network.guidance_embed.linear_2.weight.grad.abs().max() > 0


def lesson(
    task: str, conditions: TextConditions, teacher: Teacher, scales: tuple[float, float] = (1.0, 4.0)
) -> GuidanceTask | TrajectoryTask:
    if task == "guidance":
        return GuidanceTask(conditions, teacher, scales, snr_range=(0.5, 2.0))
    return TrajectoryTask(conditions, teacher, scales, num_steps=4, teacher_steps=3, snr_range=(1.0, 1.0))


@pytest.mark.parametrize("task", ["guidance", "steps"])
def test_scales_are_drawn_evenly_from_their_range(task: str, conditions: TextConditions) -> None:
    network = Oracle(lambda x_t, t, **_: x_t, guided=True)
    lesson(task, conditions, Teacher(network, PROCESS)).loss(network, random_batch(1000, 8), seeded())
    scale = network.asked["guidance"]
    assert 1 <= scale.min() < 1.02
    assert 3.98 < scale.max() <= 4
    assert scale.mean().item() == pytest.approx(2.5, abs=4 * 3 / 12**0.5 / 1000**0.5)


@pytest.mark.parametrize("task", ["guidance", "steps"])
def test_a_decoder_learns_a_batch(task: str, decoder: Decoder, conditions: TextConditions) -> None:
    network = guided_copy(decoder)
    taught = lesson(task, conditions, Teacher(decoder, PROCESS), scales=(4.0, 4.0))
    assert falls(taught, network, random_batch(2), rate=1e-3) < 0.5


@pytest.mark.parametrize("task", ["guidance", "steps"])
def test_a_sheet_has_originals_then_the_teacher_then_the_student(
    task: str, decoder: Decoder, student: Decoder, conditions: TextConditions
) -> None:
    batch = random_batch(2)
    taught = lesson(task, conditions, Teacher(decoder, PROCESS))
    original, by_teacher, by_student = taught.sheet(student, batch)
    assert torch.equal(original, batch.pixels(CPU))
    assert by_teacher.shape == by_student.shape == original.shape
    assert not torch.equal(by_teacher, by_student)
    assert torch.equal(taught.sheet(student, batch)[2], by_student)


# Guidance


def test_a_copy_of_the_teacher_has_nothing_to_learn_at_scale_one(
    decoder: Decoder, conditions: TextConditions
) -> None:
    wide = Process(ProcessConfig(x0_limit=1e3))  # so that nothing is clamped
    task = GuidanceTask(conditions, Teacher(decoder, wide), (1.0, 1.0), None)
    assert task.loss(guided_copy(decoder), random_batch(), seeded()).item() < 1e-9


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_the_loss_is_the_distance_of_what_is_said_of_the_picture(
    conditions: TextConditions, prediction: Any
) -> None:
    """Weighted alike in x0, whatever the networks predict."""
    process = Process(ProcessConfig(prediction=prediction, x0_limit=1e6))

    def saying(x0: float) -> Callable[..., Tensor]:
        def answer(x_t: Tensor, t: Tensor, **_: Tensor) -> Tensor:
            said = process.completed(torch.full_like(x_t, x0), x_t, t)
            return process.target(said.x0, t, said.eps)

        return answer

    teacher, network = Oracle(saying(0.5)), Oracle(saying(0.2), guided=True)
    task = GuidanceTask(conditions, Teacher(teacher, process), (1.0, 4.0), (1.0, 1.0))
    assert task.loss(network, random_batch(), seeded()).item() == pytest.approx(0.09, rel=1e-2)


def test_a_student_that_takes_no_notice_of_the_scale_is_seen(
    decoder: Decoder, conditions: TextConditions
) -> None:
    deaf = Oracle(lambda x_t, t, guidance, **given: decoder(x_t, t, **given), guided=True)
    task = GuidanceTask(conditions, Teacher(decoder, PROCESS), (2.0, 4.0), None)
    measured = task.probe(deaf, random_batch(), seeded())
    assert measured["psnr"] == pytest.approx(measured["psnr_unguided"], abs=1e-3)


# Steps


@pytest.mark.parametrize(("num_steps", "teacher_steps"), [(1, 1), (1, 5), (2, 3), (3, 4), (4, 4)])
def test_legs_follow_the_samplers_own_grid(num_steps: int, teacher_steps: int) -> None:
    found = legs(PROCESS.schedule, num_steps, teacher_steps)
    assert tuple(leg[0] for leg in found) == respace(PROCESS.schedule, num_steps, "trailing").timesteps
    assert [leg[-1] for leg in found] == [leg[0] for leg in found[1:]] + [-1]
    for leg in found:
        assert len(leg) == teacher_steps + 1
        assert all(t >= t_next for t, t_next in pairwise(leg))
    assert len(set(found[0])) == teacher_steps + 1


GRID = {"num_steps": 3, "teacher_steps": 4}
Target = Callable[[Teacher, int], tuple[Tensor, Tensor, Tensor]]


@pytest.fixture
def target(conditions: TextConditions, given: tuple[Any, Any]) -> Target:
    """Of a teacher and a leg: x_t, the target's x0, and where the teacher lands from there."""

    def target(teacher: Teacher, leg: int) -> tuple[Tensor, Tensor, Tensor]:
        task = TrajectoryTask(conditions, teacher, (1.0, 4.0), **GRID, snr_range=None)
        points = torch.tensor(task.legs[leg]).repeat(4, 1)
        x_t, _, scale = rows()
        landed = teacher.walk(x_t, points, scale, *given)
        return x_t, task.target(x_t, points, scale, *given).x0, landed

    return target


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("leg", [0, 1, 2])
def test_the_target_of_a_teacher_that_knows_the_picture_is_the_picture(
    target: Target, leg: int, guided: bool
) -> None:
    known = torch.rand(4, 3, 64, 64) * 2 - 1

    def constant(x_t: Tensor, t: Tensor, **_: Tensor) -> Tensor:
        return known.repeat(len(x_t) // 4, 1, 1, 1)

    _, found, _ = target(Teacher(Oracle(constant, guided), PROCESS), leg)
    torch.testing.assert_close(found, known, atol=1e-4, rtol=0)


@pytest.mark.parametrize("leg", [0, 1, 2])
def test_a_linear_teacher_is_followed_as_the_formula_says(target: Target, leg: int) -> None:
    """With x0 = c x_t a DDIM step multiplies x_t by signal' c + sigma' (1 - signal c) / sigma."""
    c, wide = 0.3, Process(ProcessConfig(x0_limit=1e6))
    teacher = Teacher(Oracle(lambda x_t, t, **_: c * x_t), wide)
    x_t, found, landed = target(teacher, leg)
    factor = 1.0
    for t, t_next in pairwise(dict.fromkeys(legs(wide.schedule, **GRID)[leg])):
        now, then = wide.schedule.alpha_bar(t), wide.schedule.alpha_bar(t_next)
        factor *= then**0.5 * c + (1 - then) ** 0.5 * (1 - now**0.5 * c) / (1 - now) ** 0.5
    torch.testing.assert_close(landed, factor * x_t, atol=1e-4, rtol=1e-4)
    t, t_end = (torch.full((4,), legs(wide.schedule, **GRID)[leg][k]) for k in (0, -1))
    reached = wide.ddim_step(wide.completed(found, x_t, t), t_end)
    torch.testing.assert_close(reached, landed, atol=1e-4, rtol=1e-4)


def test_the_last_step_ends_at_the_clean_picture_itself(decoder: Decoder, target: Target) -> None:
    _, found, landed = target(Teacher(decoder, PROCESS), 2)
    assert torch.equal(found, landed)


@pytest.mark.parametrize("leg", [0, 1, 2])
def test_targets_stay_within_the_range_of_pictures(decoder: Decoder, target: Target, leg: int) -> None:
    """A target is a mean of what the teacher said on its way, so sampling's clamp does not touch it."""
    _, found, _ = target(Teacher(decoder, PROCESS), leg)
    assert found.abs().max() <= 1 + 1e-4


@pytest.mark.parametrize(("num_steps", "teacher_steps"), [(1, 4), (2, 3), (4, 2)])
def test_a_student_that_meets_its_targets_ends_where_the_teacher_ends(
    student: Decoder, conditions: TextConditions, num_steps: int, teacher_steps: int
) -> None:
    teacher = Teacher(student, PROCESS)
    task = TrajectoryTask(conditions, teacher, (1.0, 4.0), num_steps, teacher_steps, None)
    points = {leg[0]: torch.tensor(leg) for leg in task.legs}

    def meets(x_t: Tensor, t: Tensor, guidance: Tensor, **given: Tensor) -> Tensor:
        return task.target(x_t, torch.stack([points[int(at)] for at in t]), guidance, given, given).x0

    network = Oracle(meets, guided=True)
    assert task.loss(network, random_batch(), seeded()).item() < 1e-9
    _, by_teacher, by_student = task.sheet(network, random_batch())
    torch.testing.assert_close(by_student, by_teacher, atol=1e-3, rtol=0)
    assert task.probe(network, random_batch(), seeded())["psnr"] > 60


def test_every_point_of_the_grid_is_learned_as_often(conditions: TextConditions) -> None:
    network = Oracle(lambda x_t, t, **_: x_t, guided=True)
    task = lesson("steps", conditions, Teacher(network, PROCESS))
    assert isinstance(task, TrajectoryTask)
    seen = Oracle(lambda x_t, t, **_: x_t, guided=True)
    task.loss(seen, random_batch(1000, 8), seeded())
    shares = [(seen.asked["t"] == leg[0]).float().mean().item() for leg in task.legs]
    assert shares == pytest.approx([0.25] * 4, abs=4 * (0.25 * 0.75 / 1000) ** 0.5)


# Upsamplers


@pytest.fixture
def one_step(system: System) -> OneStepTask:
    return OneStepTask(UpsamplerTask(PROCESS, 256, None), system.clip.image, feature_weight=0.05)


class Asked(nn.Module):
    """A network that answers one picture."""

    def __init__(self, picture: Tensor):
        super().__init__()
        self.picture = nn.Parameter(picture)

    def forward(self, x_t: Tensor, t: Tensor, low_res: Tensor) -> Tensor:
        self.asked = (x_t, t, low_res)
        return self.picture


def test_an_upsampler_is_asked_once_from_pure_noise(one_step: OneStepTask) -> None:
    batch = random_batch(64, 16)
    network = Asked(batch.pixels(CPU))
    assert one_step.loss(network, batch, seeded()).item() == 0
    x_t, t, low_res = network.asked
    assert t.tolist() == [999] * 64
    assert low_res.shape == (64, 3, 4, 4)
    assert x_t.mean().item() == pytest.approx(0, abs=4 / x_t.numel() ** 0.5)
    assert x_t.std().item() == pytest.approx(1, abs=0.02)
    assert abs((x_t * batch.pixels(CPU)).mean().item()) < 0.02  # nothing of the picture is in it


def test_without_features_the_loss_is_the_mean_absolute_error(one_step: OneStepTask) -> None:
    batch = random_batch()
    network = Asked(batch.pixels(CPU) + 0.125)
    plain = replace(one_step, feature_weight=0.0).loss(network, batch, seeded()).item()
    assert plain == pytest.approx(0.125)
    features = feature_distance(one_step.tower, network.picture, batch.pixels(CPU)).item()
    assert features > 0
    weighted = one_step.loss(network, batch, seeded()).item()
    assert weighted == pytest.approx(0.125 + 0.05 * features, rel=1e-5)


def test_features_pull_the_picture_and_leave_the_tower_alone(one_step: OneStepTask) -> None:
    pixels = random_batch(2).pixels(CPU)
    drawn, wanted = (pixels + 0.1).requires_grad_(), pixels.clone().requires_grad_()
    feature_distance(one_step.tower, drawn, wanted).backward()
    assert drawn.grad is not None
    assert drawn.grad.abs().max() > 0
    assert wanted.grad is None
    assert all(parameter.grad is None for parameter in one_step.tower.parameters())


def test_features_see_a_change_that_the_mean_does_not(one_step: OneStepTask) -> None:
    pixels = random_batch(2).pixels(CPU)
    moved = pixels.roll(3, dims=2)
    assert feature_distance(one_step.tower, moved, pixels) > 0.01
    assert feature_distance(one_step.tower, pixels, pixels) == 0


def test_tiles_are_the_whole_picture_at_its_own_resolution() -> None:
    x = torch.rand(2, 3, 128, 128)
    cut = tiles(x, 64)
    assert cut.shape == (8, 3, 64, 64)
    assert torch.equal(cut[1], x[0, :, :64, 64:])
    assert torch.equal(cut[6], x[1, :, 64:, :64])


@pytest.mark.parametrize(("side", "count"), [(16, 1), (90, 1), (100, 4)])
def test_pictures_that_no_tile_divides_are_resized(side: int, count: int) -> None:
    x = torch.rand(1, 3, side, side)
    assert tiles(x, 64).shape == (count, 3, 64, 64)
    if count == 1:
        expected = F.interpolate(x, (64, 64), mode="bicubic", antialias=True)
        torch.testing.assert_close(tiles(x, 64), expected)


def test_an_upsampler_that_resizes_is_as_good_as_bicubic(one_step: OneStepTask) -> None:
    class Resize(Asked):
        def forward(self, x_t: Tensor, t: Tensor, low_res: Tensor) -> Tensor:
            return F.interpolate(low_res, x_t.shape[-2:], mode="bicubic", antialias=True)

    measured = one_step.probe(Resize(torch.zeros(())), random_batch(2), seeded())
    for name in ("psnr", "features"):
        assert measured[name] == pytest.approx(measured[f"{name}_bicubic"], rel=1e-4)


def test_an_upsampler_learns_a_batch(one_step: OneStepTask) -> None:
    torch.manual_seed(0)
    network = Upsampler(presets.tiny().upsampler256)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    stripes = ((x + torch.arange(4)[:, None, None] * y) % 16 < 8)[..., None].expand(-1, -1, -1, 3)
    batch = Batch((255 * stripes).to(torch.uint8), [""] * 4)
    assert falls(one_step, network, batch, rate=2e-2) < 0.6


def test_a_sheet_of_an_upsampler_has_originals_reduced_and_drawn(
    one_step: OneStepTask, system: System
) -> None:
    batch = random_batch(2)
    original, shown, drawn = one_step.sheet(system.upsamplers[0].network, batch)
    assert torch.equal(original, batch.pixels(CPU))
    assert shown.shape == drawn.shape == original.shape
    assert drawn.abs().max() <= 1
