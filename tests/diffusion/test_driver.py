from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unclip.diffusion.driver import (
    Asking,
    Call,
    Denoising,
    Plan,
    Step,
    ask,
    ask_stage,
    drive,
    evaluate,
    finish,
    run,
)
from unclip.diffusion.guides import Rows, classifier_free, conditional
from unclip.diffusion.process import Process, ProcessConfig
from unclip.diffusion.samplers import ddim
from unclip.diffusion.schedule import respace

PROCESS = Process(ProcessConfig())
WEIGHT = torch.tensor(0.5, requires_grad=True)


def halved(x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
    del t, conditions
    return WEIGHT * x_t


class Counted:
    """A network that counts its calls and notes whether they record gradients."""

    def __init__(self) -> None:
        self.modes = list[bool]()

    def __call__(self, x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
        self.modes.append(torch.is_grad_enabled())
        return halved(x_t, t, **conditions)


def denoising(
    stage: str, steps: int, network: Callable[..., Tensor], x_t: Tensor, announced: int | None = None
) -> Denoising:
    sampling = ddim(respace(PROCESS.schedule, steps), x_t, lambda: x_t)
    return Denoising(stage, announced or steps, network, sampling, conditional(PROCESS, {}))


def by_hand(x_t: Tensor, steps: int) -> Tensor:
    sampling = ddim(respace(PROCESS.schedule, steps), x_t, lambda: x_t)
    query = next(sampling)
    while True:
        t = torch.full((len(query.x_t),), query.t)
        try:
            query = sampling.send(PROCESS.predict(0.5 * query.x_t, query.x_t, t))
        except StopIteration as stop:
            return stop.value


def collected(steps: Any) -> tuple[list[Step], Tensor]:
    seen = list[Step]()
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def test_a_stage_reports_every_step_and_returns_the_sample() -> None:
    x_t = torch.randn(2, 3)
    steps, sample = collected(run(denoising("decoder", 4, halved, x_t)))
    assert [(step.stage, step.index, step.num_steps) for step in steps] == [
        ("decoder", i, 4) for i in (1, 2, 3, 4)
    ]
    torch.testing.assert_close(steps[0].x0, 0.5 * x_t)
    torch.testing.assert_close(sample, by_hand(x_t, 4))


def test_closing_cancels() -> None:
    network = Counted()
    steps = run(denoising("decoder", 4, network, torch.randn(2, 3)))
    next(steps), next(steps)
    steps.close()
    assert len(network.modes) == 2
    assert list(steps) == []


def test_the_network_alone_runs_without_gradients() -> None:
    network = Counted()
    steps = run(denoising("decoder", 3, network, torch.randn(2, 3)))
    for step in steps:
        assert torch.is_grad_enabled()
        assert not step.x0.requires_grad
    assert network.modes == [False] * 3


def test_a_sampler_asks_no_more_than_announced() -> None:
    with pytest.raises(AssertionError, match="more steps"):
        finish(run(denoising("decoder", 3, halved, torch.randn(2, 3), announced=2)))


def two_stages(x_t: Tensor) -> Plan:
    small = yield denoising("decoder", 2, halved, x_t)
    large = yield denoising("upsampler", 3, halved, small + 1)
    return large.clamp(-1, 1)


def test_a_plan_runs_stage_after_stage() -> None:
    x_t = torch.randn(2, 3)
    steps, result = collected(drive(two_stages(x_t)))
    assert [step.stage for step in steps] == ["decoder"] * 2 + ["upsampler"] * 3
    torch.testing.assert_close(result, by_hand(by_hand(x_t, 2) + 1, 3).clamp(-1, 1))
    torch.testing.assert_close(finish(drive(two_stages(x_t))), result)


def test_closing_a_plan_cancels_the_stages_to_come() -> None:
    steps = drive(two_stages(torch.randn(2, 3)))
    stages = [next(steps).stage for _ in range(2)]
    steps.close()
    assert stages == ["decoder"] * 2
    assert list(steps) == []


def asked(asking: Asking) -> tuple[list[Call | Step], Tensor]:
    """Answer an asking, and return all that it gave and its result."""
    seen, output = list[Call | Step](), None
    while True:
        try:
            seen.append(asking.send(output))
        except StopIteration as stop:
            return seen, stop.value
        output = evaluate(seen[-1]) if isinstance(seen[-1], Call) else None


def test_a_stage_asks_for_a_call_before_every_step() -> None:
    x_t, network = torch.randn(2, 3), Counted()
    seen, sample = asked(ask_stage(denoising("decoder", 3, network, x_t)))
    assert [type(each) for each in seen] == [Call, Step] * 3
    call, step = seen[0], seen[1]
    assert isinstance(call, Call)
    assert isinstance(step, Step)
    assert call.network is network
    assert torch.equal(call.rows.x_t, x_t)
    assert (step.stage, step.index, step.num_steps) == ("decoder", 1, 3)
    torch.testing.assert_close(sample, by_hand(x_t, 3))


def test_guidance_asks_for_both_rows_in_one_call() -> None:
    x_t = torch.randn(2, 3)
    sampling = ddim(respace(PROCESS.schedule, 2), x_t, lambda: x_t)
    guide = classifier_free(PROCESS, {"y": torch.ones(2)}, {"y": torch.zeros(2)}, 3.0)
    seen, _ = asked(ask_stage(Denoising("decoder", 2, halved, sampling, guide)))
    calls = [each for each in seen if isinstance(each, Call)]
    assert [call.rows.conditions["y"].tolist() for call in calls] == [[0, 0, 1, 1]] * 2
    assert [len(call.rows.x_t) for call in calls] == [4, 4]


def test_a_plan_asks_stage_after_stage_and_has_the_result_that_is_driven() -> None:
    x_t = torch.randn(2, 3)
    seen, result = asked(ask(two_stages(x_t)))
    stages = [each.stage for each in seen if isinstance(each, Step)]
    assert stages == ["decoder"] * 2 + ["upsampler"] * 3
    assert torch.equal(result, finish(drive(two_stages(x_t))))


def test_nothing_is_called_but_by_who_answers() -> None:
    network = Counted()
    asking = ask_stage(denoising("decoder", 3, network, torch.randn(2, 3)))
    assert isinstance(next(asking), Call)
    asking.close()
    assert network.modes == []


def test_a_call_that_is_not_answered_is_a_broken_promise() -> None:
    asking = ask_stage(denoising("decoder", 3, halved, torch.randn(2, 3)))
    next(asking)
    with pytest.raises(AssertionError, match="must be sent its output"):
        next(asking)


def test_a_call_is_evaluated_under_its_conditions_and_without_gradients() -> None:
    heard = dict[str, Tensor]()

    def network(x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
        heard.update(conditions, t=t)
        return WEIGHT * x_t

    rows = Rows(torch.ones(2, 3), torch.tensor([4, 0]), {"low_res": torch.zeros(2)})
    output = evaluate(Call(network, rows))
    assert torch.equal(output, torch.full((2, 3), 0.5))
    assert not output.requires_grad
    assert heard["t"].tolist() == [4, 0]
    assert heard.keys() == {"t", "low_res"}
    assert torch.is_grad_enabled()
