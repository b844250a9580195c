"""The simple driver: one request at a time, a step at a time."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from unclip.diffusion.guides import Guide
from unclip.diffusion.process import Prediction
from unclip.diffusion.samplers import Query, Sampling

Network = Callable[..., Tensor]  # network(x_t, t, **conditions)


@dataclass(frozen=True)
class Denoising:
    """One stage of one request, ready to run."""

    stage: str  # "prior", "decoder", "upsampler256", ...
    num_steps: int
    network: Network
    sampling: Sampling
    guide: Guide


@dataclass(frozen=True)
class Step:
    """What a driver reports after each step of a stage."""

    stage: str
    index: int  # steps done in this stage, 1 to num_steps
    num_steps: int
    x0: Tensor  # the clean sample as predicted at this step


def answer(query: Query, guide: Guide, network: Network) -> Prediction:
    """Let the guide answer one query with as many network calls as it asks for."""
    guidance = guide(query)
    try:
        rows = next(guidance)
        while True:
            # Set around the call alone: the mode is thread-local and would leak to whoever holds a generator.
            with torch.no_grad():
                output = network(rows.x_t, rows.t, **rows.conditions)
            rows = guidance.send(output)
    except StopIteration as stop:
        return stop.value


def run(denoising: Denoising) -> Generator[Step, None, Tensor]:
    """Run a stage to its end, reporting every step; closing the generator cancels it."""
    query = next(denoising.sampling)
    for index in range(1, denoising.num_steps + 1):
        prediction = answer(query, denoising.guide, denoising.network)
        yield Step(denoising.stage, index, denoising.num_steps, prediction.x0)
        try:
            query = denoising.sampling.send(prediction)
        except StopIteration as stop:
            return stop.value
    raise AssertionError("the sampler asked for more steps than announced")


Plan = Generator[Denoising, Tensor, Tensor]  # a request: asks for stages to be run, is sent their samples


def drive(plan: Plan) -> Generator[Step, None, Tensor]:
    """Run every stage that a plan asks for and return the plan's result; closing the generator cancels it."""
    denoising = next(plan)
    while True:
        sample = yield from run(denoising)
        try:
            denoising = plan.send(sample)
        except StopIteration as stop:
            return stop.value


def finish(steps: Generator[Step, None, Tensor]) -> Tensor:
    """Run to the end without looking at the steps."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
