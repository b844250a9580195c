"""How requests ask for network calls, and the simple driver: one request at a time, a step at a time."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from unclip.diffusion.guides import Guide, Rows
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


@dataclass(frozen=True)
class Call:
    """One network call that a request waits for."""

    network: Network
    rows: Rows


Plan = Generator[Denoising, Tensor, Tensor]
"""A request: asks for stages to be run, is sent their samples, and returns its result."""

Asking = Generator[Call | Step, Tensor | None, Tensor]
"""A request under way: asks for calls and is sent their outputs, reports steps and is sent nothing."""


def evaluate(call: Call) -> Tensor:
    """Call the network."""
    # Set around the call alone: the mode is thread-local and would leak to whoever holds a generator.
    with torch.no_grad():
        return call.network(call.rows.x_t, call.rows.t, **call.rows.conditions)


def answer(query: Query, guide: Guide, network: Network) -> Prediction:
    """Let the guide answer one query with as many network calls as it asks for."""
    asking = _ask(query, guide, network)
    try:
        call = next(asking)
        while True:
            call = asking.send(evaluate(call))
    except StopIteration as stop:
        return stop.value


def _ask(query: Query, guide: Guide, network: Network) -> Generator[Call, Tensor | None, Prediction]:
    guidance = guide(query)
    try:
        rows = next(guidance)
        while True:
            output = yield Call(network, rows)
            assert output is not None, "a call must be sent its output"
            rows = guidance.send(output)
    except StopIteration as stop:
        return stop.value


def ask_stage(denoising: Denoising) -> Asking:
    """Ask for all calls of one stage, and report every step."""
    query = next(denoising.sampling)
    for index in range(1, denoising.num_steps + 1):
        prediction = yield from _ask(query, denoising.guide, denoising.network)
        yield Step(denoising.stage, index, denoising.num_steps, prediction.x0)
        try:
            query = denoising.sampling.send(prediction)
        except StopIteration as stop:
            return stop.value
    raise AssertionError("the sampler asked for more steps than announced")


def ask(plan: Plan) -> Asking:
    """Ask for all calls of a plan, stage by stage, and report every step."""
    denoising = next(plan)
    while True:
        sample = yield from ask_stage(denoising)
        try:
            denoising = plan.send(sample)
        except StopIteration as stop:
            return stop.value


def _driven(asking: Asking) -> Generator[Step, None, Tensor]:
    output: Tensor | None = None
    while True:
        try:
            asked = asking.send(output)
        except StopIteration as stop:
            return stop.value
        if isinstance(asked, Step):
            yield asked
            output = None
        else:
            output = evaluate(asked)


def run(denoising: Denoising) -> Generator[Step, None, Tensor]:
    """Run a stage to its end, reporting every step; closing the generator cancels it."""
    return _driven(ask_stage(denoising))


def drive(plan: Plan) -> Generator[Step, None, Tensor]:
    """Run every stage that a plan asks for and return the plan's result; closing the generator cancels it."""
    return _driven(ask(plan))


def finish(steps: Generator[Step, None, Tensor]) -> Tensor:
    """Run to the end without looking at the steps."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
