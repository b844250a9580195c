"""Distillation: a student learns of a frozen teacher to draw a picture in fewer evaluations.

A decoder learns guidance first, which halves the rows of every step, and then to take longer steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from unclip.diffusion.driver import Denoising, finish, run
from unclip.diffusion.guides import Conditions, Guide, clamp
from unclip.diffusion.process import Prediction, Process, SnrRange
from unclip.diffusion.samplers import ddim
from unclip.diffusion.schedule import Schedule, respace
from unclip.models.decoder import Decoder
from unclip.pipelines.stages import decoder_conditions, decoder_guide, encode_text_and_empty
from unclip.training.batches import Batch
from unclip.training.conditions import TextConditions
from unclip.training.tasks import PROBED, SHEET_STEPS, WholePictures, device_of, normal_like, random_timesteps
from unclip.training.upsampling import psnr

Scales = tuple[float, float]  # least and largest guidance scale


@dataclass(frozen=True)
class Teacher:
    """A frozen decoder under guidance, every row at a timestep and a scale of its own."""

    network: Decoder
    process: Process

    @torch.no_grad()
    def predict(
        self,
        x_t: Float[Tensor, "b 3 h w"],
        t: Int[Tensor, " b"],
        scale: Float[Tensor, " b"],
        given: Conditions,
        without: Conditions,
    ) -> Prediction:
        """Return what sampling would take it to say: guided, then clamped."""
        limit = self.process.config.x0_limit
        x0 = self._guided_x0(x_t, t, scale, given, without)
        return self.process.completed(x0.clamp(-limit, limit), x_t, t)

    def _guided_x0(
        self, x_t: Tensor, t: Tensor, scale: Tensor, given: Conditions, without: Conditions
    ) -> Tensor:
        if self.network.config.guided:
            output = self.network(x_t, t, guidance=scale, **given)
            return self.process.predict(output.float(), x_t, t).x0
        rows = {name: torch.cat([given[name], without[name]]) for name in given}
        output = self.network(torch.cat([x_t, x_t]), torch.cat([t, t]), **rows)
        with_, less = (self.process.predict(half, x_t, t).x0 for half in output.float().chunk(2))
        return less + scale.view(-1, 1, 1, 1) * (with_ - less)

    def walk(
        self,
        x_t: Float[Tensor, "b 3 h w"],
        points: Int[Tensor, "b n"],
        scale: Float[Tensor, " b"],
        given: Conditions,
        without: Conditions,
    ) -> Float[Tensor, "b 3 h w"]:
        """Return where its DDIM steps lead each row from the first of its `points` through the others.

        -1 is the clean sample; where two points are one, the row stays.
        """
        for t, t_next in pairwise(points.unbind(dim=1)):
            prediction = self.predict(x_t, t.clamp(min=0), scale, given, without)
            stays = (t == t_next).view(-1, 1, 1, 1)
            x_t = torch.where(stays, x_t, self.process.ddim_step(prediction, t_next))
        return x_t


def legs(schedule: Schedule, num_steps: int, teacher_steps: int) -> list[tuple[int, ...]]:
    """Return the timesteps that a teacher walks through beside each of a student's `num_steps` steps.

    Every leg has `teacher_steps` + 1 of them, evenly spread from one point of the sampler's own grid to the
    next, -1 after the last; a leg shorter than that repeats some.
    """
    grid = [*respace(schedule, num_steps, "trailing").timesteps, -1]
    return [
        tuple(round(start + (end - start) * k / teacher_steps) for k in range(teacher_steps + 1))
        for start, end in pairwise(grid)
    ]


@dataclass(frozen=True)
class GuidanceTask(WholePictures):
    """The student says in one row, of any scale, what the teacher says under classifier-free guidance.

    Source: Meng et al. 2022, stage one.
    """

    conditions: TextConditions
    teacher: Teacher
    scales: Scales
    snr_range: SnrRange | None

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean of the process's loss against the teacher's prediction."""
        pixels = batch.pixels(device_of(network))
        x_t, t = self._noised(pixels, generator)
        scale = _random_scales(self.scales, len(pixels), generator)
        given, without = _given(self.conditions, pixels, batch.captions)
        target = self.teacher.predict(x_t, t, scale, given, without)
        output = network(x_t, t, guidance=scale, **given)
        return _distance(self.teacher.process, output, target, x_t, t, self.snr_range)

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """PSNR in dB against the teacher, of the student and of the same teacher without guidance.

        A student that takes no notice of the scale is no better than the latter.
        """
        batch = batch.first(PROBED)
        pixels, process = batch.pixels(device_of(network)), self.teacher.process
        x_t, t = self._noised(pixels, generator)
        scale = _random_scales(self.scales, len(pixels), generator)
        given, without = _given(self.conditions, pixels, batch.captions)
        output = network(x_t, t, guidance=scale, **given)
        said = process.clamped(process.predict(output.float(), x_t, t), x_t, t).x0
        taught, plain = (
            self.teacher.predict(x_t, t, s, given, without).x0 for s in (scale, torch.ones_like(scale))
        )
        return {"psnr": psnr(said, taught), "psnr_unguided": psnr(plain, taught)}

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Originals, the teacher's pictures, and the student's from the same noise."""
        pixels = batch.pixels(device_of(network))
        timesteps = respace(self.teacher.process.schedule, SHEET_STEPS).timesteps
        given = _given(self.conditions, pixels, batch.captions)
        pair = _drawn_by_both(
            network, self.teacher, given, self.scales, sheet_noise(pixels), timesteps, timesteps
        )
        return [pixels, *pair]

    def _noised(self, pixels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        process = self.teacher.process
        t = random_timesteps(process, len(pixels), generator)
        return process.q_sample(pixels, t, normal_like(pixels, generator)), t


@dataclass(frozen=True)
class TrajectoryTask(WholePictures):
    """One DDIM step of the student, from a point of its grid, lands where several of the teacher land.

    The grid is the sampler's own, so a student that meets its targets ends where the teacher ends.
    Source: Salimans & Ho 2022, algorithm 2; with guidance, Meng et al. 2022, stage two.
    """

    conditions: TextConditions
    teacher: Teacher
    scales: Scales
    num_steps: int
    teacher_steps: int  # within each step of the student
    snr_range: SnrRange | None

    @property
    def legs(self) -> list[tuple[int, ...]]:
        """The timesteps that the teacher walks through beside each step of the student."""
        return legs(self.teacher.process.schedule, self.num_steps, self.teacher_steps)

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean of the process's loss against the x0 that leads to where the teacher lands."""
        pixels, process = batch.pixels(device_of(network)), self.teacher.process
        leg = torch.randint(self.num_steps, (len(pixels),), generator=generator, device=pixels.device)
        points = torch.tensor(self.legs, device=pixels.device)[leg]
        t = points[:, 0]
        x_t = process.q_sample(pixels, t, normal_like(pixels, generator))
        scale = _random_scales(self.scales, len(pixels), generator)
        given, without = _given(self.conditions, pixels, batch.captions)
        target = self.target(x_t, points, scale, given, without)
        output = network(x_t, t, guidance=scale, **given)
        return _distance(process, output, target, x_t, t, self.snr_range)

    def target(
        self,
        x_t: Float[Tensor, "b 3 h w"],
        points: Int[Tensor, "b n"],
        scale: Float[Tensor, " b"],
        given: Conditions,
        without: Conditions,
    ) -> Prediction:
        """Return the prediction whose one step leads to the end of the teacher's walk through `points`."""
        landed = self.teacher.walk(x_t, points, scale, given, without)
        t, t_end = points[:, 0], points[:, -1]
        return self.teacher.process.completed(self.teacher.process.ddim_origin(x_t, t, landed, t_end), x_t, t)

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """PSNR in dB of the student's pictures from pure noise against the teacher's."""
        batch = batch.first(PROBED)
        pixels = batch.pixels(device_of(network))
        taught, drawn = self._both(network, batch, normal_like(pixels, generator))
        return {"psnr": psnr(drawn, taught)}

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Originals, the teacher's pictures, and the student's from the same noise."""
        pixels = batch.pixels(device_of(network))
        return [pixels, *self._both(network, batch, sheet_noise(pixels))]

    def _both(self, network: nn.Module, batch: Batch, noise: Tensor) -> list[Tensor]:
        given = _given(self.conditions, batch.pixels(noise.device), batch.captions)
        walked = list(dict.fromkeys(t for leg in self.legs for t in leg if t >= 0))
        return _drawn_by_both(
            network, self.teacher, given, self.scales, noise, walked, [leg[0] for leg in self.legs]
        )


def _given(
    conditions: TextConditions, pixels: Tensor, captions: Sequence[str]
) -> tuple[Conditions, Conditions]:
    """Return the conditions of pictures with both embedding and caption, and with neither."""
    text, empty = encode_text_and_empty(conditions.clip, conditions.tokenizer, captions)
    return decoder_conditions(conditions.image(pixels), text, empty)


def _random_scales(scales: Scales, count: int, generator: Generator) -> Float[Tensor, " b"]:
    low, high = scales
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def _distance(
    process: Process,
    output: Tensor,
    target: Prediction,
    x_t: Tensor,
    t: Tensor,
    snr_range: SnrRange | None,
) -> Tensor:
    """Return the process's loss, the teacher's prediction in the place of the true picture and noise."""
    return process.loss(output.float(), target.x0, x_t, t, target.eps, snr_range).mean()


def _drawn_by_both(
    network: nn.Module,
    teacher: Teacher,
    given: tuple[Conditions, Conditions],
    scales: Scales,
    noise: Tensor,
    teacher_timesteps: Sequence[int],
    student_timesteps: Sequence[int],
) -> list[Tensor]:
    """Draw from the same noise by the teacher and by the student, in the middle of the scales."""
    assert isinstance(network, Decoder)
    process, scale = teacher.process, sum(scales) / 2

    def drawn(decoder: Decoder, timesteps: Sequence[int]) -> Tensor:
        return _drawn(decoder, process, decoder_guide(decoder, process, *given, scale), noise, timesteps)

    return [drawn(teacher.network, teacher_timesteps), drawn(network, student_timesteps)]


def _drawn(
    network: nn.Module, process: Process, guide: Guide, noise: Tensor, timesteps: Sequence[int]
) -> Tensor:
    schedule = replace(process.schedule, timesteps=tuple(timesteps))
    sampling = ddim(schedule, noise, lambda: noise)
    return finish(run(Denoising("sheet", len(timesteps), network, sampling, clamp(process, guide))))


def sheet_noise(pixels: Tensor) -> Tensor:
    """Return the noise that sheets are drawn from."""
    return normal_like(pixels, Generator(pixels.device).manual_seed(0))
