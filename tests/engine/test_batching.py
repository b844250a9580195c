from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import Call, Denoising, Plan, Step, ask, drive, evaluate, finish
from unclip.diffusion.guides import Conditions, Rows, conditional
from unclip.diffusion.process import Process, ProcessConfig
from unclip.diffusion.samplers import ddim
from unclip.diffusion.schedule import respace
from unclip.engine.batching import Batch, Broken, Finished, Report, joined, together
from unclip.errors import RequestError
from unclip.pipelines.edit import Edit, edit
from unclip.pipelines.interpolation import Mix, mix
from unclip.pipelines.text_diff import TextDiff, text_diff
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.pipelines.variations import Variations, variations
from unclip.system import System

PROCESS = Process(ProcessConfig())
CLOSE = 2 / 127.5  # two of 255 levels, in [-1, 1]: what pictures may differ by in other company


@dataclass
class Told:
    """What a batch has reported, request by request, and the calls that it made."""

    reports: dict[str, list[Report]] = field(default_factory=dict)
    calls: list[tuple[Any, int, int]] = field(default_factory=list)  # network, rows, requests

    def of(self, name: str) -> Report:
        return self.reports[name][-1]

    def images(self, name: str) -> Tensor:
        end = self.of(name)
        assert isinstance(end, Finished)
        return end.images

    def hear(self, name: str, report: Report) -> None:
        self.reports.setdefault(name, []).append(report)


def batch_of(most_values: int = 10**9) -> tuple[Batch, Told]:
    told = Told()
    return Batch(most_values, lambda *call: told.calls.append(call[:3])), told


def run(plans: Mapping[str, Plan], joins: Mapping[str, int] | None = None, most_values: int = 10**9) -> Told:
    """Run plans together; each joins after so many ticks."""
    batch, told = batch_of(most_values)
    waiting, tick = dict(joins or dict.fromkeys(plans, 0)), 0
    while waiting or batch:
        for name in [name for name, when in waiting.items() if when <= tick]:
            del waiting[name]
            for report in batch.add(name, plans[name]):
                told.hear(*report)
        for report in batch.tick():
            told.hear(*report)
        tick += 1
    return told


def alone(plan: Plan) -> tuple[Tensor, int]:
    """The result of a plan by itself, and the calls that it takes."""
    asking, count, output = ask(plan), 0, None
    while True:
        try:
            asked = asking.send(output)
        except StopIteration as stop:
            return stop.value, count
        output = evaluate(asked) if isinstance(asked, Call) else None
        count += isinstance(asked, Call)


# With the networks of the tiny system.

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")


def holed(size: int) -> Image.Image:
    image = PICTURE.resize((size, size)).convert("RGBA")
    image.paste((0, 0, 0, 0), (20, 20, 44, 44))
    return image


def sentence(prompt: str, **settings: Any) -> Callable[[System], Plan]:
    request = TextToImage(
        prompt, **{"size": 64, "steps": 3, "prior_steps": 2, "upsampler_steps": 2} | settings
    )
    return lambda system: text_to_image(system, request)


REQUESTS: dict[str, Callable[[System], Plan]] = {
    "short": sentence("apple"),
    "long": sentence("a red cube on a blue cube on a table on a table", seed=3),
    "many": sentence("a red apple", n=3, seed=5),
    "unguided": sentence("a blue cube", guidance_scale=1.0, prior_guidance_scale=1.0),
    "slow": sentence("a table", steps=7, prior_steps=5),
    "ddpm": sentence("a blue table", sampler="ddpm", steps=4, seed=9),
    "second order": sentence("a red table", sampler="dpm++", steps=4),
    "negative": sentence("a cube", negative="a blue apple on a table", seed=1),
    "large": sentence("a red cube", size=256),
    "best of": sentence("a cube on a table", best_of=2),
    "variations": lambda system: variations(system, Variations(PICTURE, n=2, size=64, steps=3)),
    "fresh": lambda system: variations(system, Variations(PICTURE, fresh=True, size=64, steps=3)),
    "edit": lambda system: edit(system, Edit(holed(64), "a red cube", steps=3, resamplings=2)),
    "diff": lambda system: text_diff(
        system, TextDiff(PICTURE, "a red cube", steps=2, size=64, decoder_steps=3)
    ),
    "mix": lambda system: mix(system, Mix((PICTURE, "a blue apple"), size=64, steps=3)),
}
JOINS = {name: 2 * place % 7 for place, name in enumerate(REQUESTS)}


def test_pictures_do_not_depend_on_company_and_calls_are_shared(system: System) -> None:
    told = run({name: plan(system) for name, plan in REQUESTS.items()}, JOINS)
    calls = list[int]()
    for name, plan in REQUESTS.items():
        images, count = alone(plan(system))
        calls.append(count)
        difference = (told.images(name) - images).abs().max().item()
        assert difference < CLOSE, f"{name} differs by {difference}"
    assert max(calls) <= len(told.calls) < 0.4 * sum(calls)
    assert sum(requests for _, _, requests in told.calls) == sum(calls)


def test_tokens_of_requests_at_the_same_place_are_drawn_together(ar_system: System) -> None:
    def asked(prompt: str, **settings: Any) -> Callable[[System], Plan]:
        return sentence(prompt, prior="ar", prior_steps=None, **settings)

    plans = {
        "first": asked("a red cube"),
        "with it": asked("a blue apple on a table", seed=4, prior_guidance_scale=2.0),
        "later": asked("an apple", seed=6),
        "diffusion": sentence("a cube"),
    }
    joins = {"first": 0, "with it": 0, "later": 3, "diffusion": 1}
    told = run({name: plan(ar_system) for name, plan in plans.items()}, joins)
    for name, plan in plans.items():
        assert (told.images(name) - alone(plan(ar_system))[0]).abs().max() < CLOSE
    network = ar_system.prior_ar
    assert network is not None
    together = [requests for called, _, requests in told.calls if called is network]
    assert sorted(together) == [1] * network.config.num_tokens + [2] * network.config.num_tokens


def test_a_distilled_decoder_draws_for_several_at_once(distilled_system: System) -> None:
    plans = {
        "standard": sentence("a red cube", quality="standard", steps=None),
        "guided": sentence("a blue apple", quality="standard", guidance_scale=4.0, seed=2),
        "best": sentence("a cube", quality="best"),
    }
    told = run({name: plan(distilled_system) for name, plan in plans.items()})
    for name, plan in plans.items():
        assert (told.images(name) - alone(plan(distilled_system))[0]).abs().max() < CLOSE
    distilled = distilled_system.distilled
    assert distilled is not None
    assert [n for network, _, n in told.calls if network is distilled.network] == [2, 2, 2]


def test_a_batch_of_one_is_the_simple_driver_to_the_bit(system: System) -> None:
    plan = REQUESTS["best of"]
    told = run({"one": plan(system)})
    assert torch.equal(told.images("one"), finish(drive(plan(system))))
    steps = [report for report in told.reports["one"] if isinstance(report, Step)]
    expected = list(drive(plan(system)))
    assert [(s.stage, s.index, s.num_steps) for s in steps] == [
        (s.stage, s.index, s.num_steps) for s in expected
    ]
    assert all(torch.equal(step.x0, other.x0) for step, other in zip(steps, expected, strict=True))


# With networks of a line each, whose rows are apart.


class Counted:
    """A network that notes how many rows each call has; rows below -100 break it."""

    def __init__(self, factor: float = 0.5) -> None:
        self.rows = list[int]()
        self.factor = factor

    def __call__(self, x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
        self.rows.append(len(x_t))
        if (x_t < -100).any():
            raise RuntimeError("out of memory")
        output = self.factor * x_t + 0.001 * t.view(-1, *[1] * (x_t.ndim - 1))
        if "text_mask" in conditions:
            states = conditions["text_encodings"] * conditions["text_mask"][..., None]
            output = output + states.sum(dim=(1, 2)).view(-1, *[1] * (x_t.ndim - 1))
        return output


def stage(
    network: Counted, x_T: Tensor, steps: int = 3, conditions: Conditions | None = None, name: str = "decoder"
) -> Denoising:
    sampling = ddim(respace(PROCESS.schedule, steps), x_T, lambda: x_T)
    return Denoising(name, steps, network, sampling, conditional(PROCESS, conditions or {}))


def toy(network: Counted, rows: int = 1, steps: int = 3, seed: int = 0, words: int = 0) -> Plan:
    generator = torch.Generator().manual_seed(seed)
    conditions = dict[str, Tensor]()
    if words:
        conditions["text_encodings"] = torch.randn(rows, words, 2, generator=generator)
        conditions["text_mask"] = torch.ones(rows, words, dtype=torch.bool)
    return (yield stage(network, torch.randn(rows, 3, generator=generator), steps, conditions))


def broken_network(network: Counted) -> Plan:
    return (yield stage(network, torch.full((1, 3), -1000.0)))


def refused() -> Plan:
    raise RequestError("nothing to draw")
    yield


def broken_between(network: Counted) -> Plan:
    yield stage(network, torch.zeros(1, 3), 2)
    raise ValueError("no second stage")


@hypothesis_settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(0, 4), st.integers(0, 12)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 12),
)
def test_whoever_joins_when_gets_what_they_get_alone(
    requests: list[tuple[int, int, int, int]], most_values: int
) -> None:
    network = Counted()
    made = {str(k): (lambda k=k, r=r: toy(network, r[0], r[1], k, r[2])) for k, r in enumerate(requests)}
    joins = {str(k): request[3] for k, request in enumerate(requests)}
    told = run({name: make() for name, make in made.items()}, joins, most_values)
    for name, make in made.items():
        torch.testing.assert_close(told.images(name), finish(drive(make())))


def test_a_call_never_holds_more_than_allowed() -> None:
    network = Counted()
    told = run({str(k): toy(network, rows=k) for k in range(1, 6)}, most_values=4 * 3)
    assert max(network.rows) == 4
    assert network.rows[:4] == [4, 4, 4, 3]  # 15 rows of 3 values each
    assert [rows for _, rows, _ in told.calls] == [15] * 3


def test_a_row_larger_than_allowed_goes_alone() -> None:
    network = Counted()
    told = run({"a": toy(network, rows=2), "b": toy(network, rows=1)}, most_values=2)
    assert set(network.rows) == {1}
    assert isinstance(told.of("a"), Finished)


def test_a_call_of_many_parts_gives_each_request_its_own() -> None:
    network = Counted()
    rows = [Rows(torch.randn(k, 3), torch.full((k,), 7 * k), {}) for k in (2, 1, 4)]
    whole = together([Call(network, each) for each in rows], 10**9)
    for parts, each in zip(together([Call(network, each) for each in rows], 6), rows, strict=True):
        torch.testing.assert_close(parts, evaluate(Call(network, each)))
    assert [len(part) for part in whole] == [2, 1, 4]


def test_captions_are_padded_under_the_mask() -> None:
    def rows(words: int) -> Rows:
        states, mask = torch.randn(2, words, 4), torch.ones(2, words, dtype=torch.bool)
        embed = torch.full((2, 5), float(words))
        return Rows(
            torch.randn(2, 3),
            torch.tensor([words, 0]),
            {"text_encodings": states, "text_mask": mask, "text_embed": embed},
        )

    short, long = rows(2), rows(5)
    found = joined([short, long])
    assert torch.equal(found.t, torch.tensor([2, 0, 5, 0]))
    assert found.conditions["text_mask"].sum(dim=1).tolist() == [2, 2, 5, 5]
    assert torch.equal(found.conditions["text_encodings"][:2, :2], short.conditions["text_encodings"])
    assert torch.equal(found.conditions["text_encodings"][2:], long.conditions["text_encodings"])
    assert found.conditions["text_embed"][:, 0].tolist() == [2, 2, 5, 5]


def test_other_sizes_and_other_conditions_go_apart() -> None:
    network = Counted()

    def sized(width: int, **conditions: Tensor) -> Plan:
        return (yield stage(network, torch.zeros(1, width), 1, conditions))

    plans = {
        "3": sized(3),
        "also 3": sized(3),
        "4": sized(4),
        "conditioned": sized(3, low_res=torch.zeros(1, 2)),
        "otherwise": sized(3, low_res=torch.zeros(1, 3)),
        "half": sized(3, low_res=torch.zeros(1, 2, dtype=torch.float16)),
    }
    told = run(plans)
    assert sorted(requests for _, _, requests in told.calls) == [1, 1, 1, 1, 2]


def test_networks_are_called_in_the_order_of_the_longest_waiting() -> None:
    first, second = Counted(), Counted()
    plans = {"a": toy(first, steps=3), "b": toy(second, steps=3), "c": toy(first, steps=3)}
    told = run(plans)
    assert [network for network, _, _ in told.calls] == [first, second] * 3


def test_who_keeps_joining_holds_up_nobody() -> None:
    first, second = Counted(), Counted()
    plans: dict[str, Plan] = {str(k): toy(first, steps=4) for k in range(8)}
    told = run(plans | {"other": toy(second, steps=2)}, {str(k): k for k in range(8)} | {"other": 0})
    assert second in [network for network, _, _ in told.calls[:2]]


@pytest.mark.parametrize("most_values", [3, 10**9])
def test_what_breaks_breaks_alone(most_values: int) -> None:
    network = Counted()

    def good(seed: int) -> Plan:
        return toy(network, 2, 4, seed)

    told = run(
        {
            "good": good(1),
            "refused": refused(),
            "network": broken_network(network),
            "between": broken_between(network),
            "also good": good(2),
        },
        most_values=most_values,
    )
    assert torch.equal(told.images("good"), finish(drive(good(1))))
    assert torch.equal(told.images("also good"), finish(drive(good(2))))
    for name, kind in {"refused": RequestError, "network": RuntimeError, "between": ValueError}.items():
        end = told.of(name)
        assert isinstance(end, Broken)
        assert isinstance(end.error, kind)
    assert [report.index for report in told.reports["between"] if isinstance(report, Step)] == [1, 2]


def test_who_is_dropped_is_told_nothing_more_and_frees_its_name() -> None:
    network = Counted()
    batch, told = batch_of()
    for name in ("a", "b"):
        assert not list(batch.add(name, toy(network, steps=3)))
    assert [name for name, _ in batch.tick()] == ["a", "b"]
    batch.drop("a")
    batch.drop("never there")
    assert ("a" in batch, "b" in batch, len(batch)) == (False, True, 1)
    assert [name for name, _ in batch.tick()] == ["b"]
    assert told.calls[-1] == (network, 1, 1)
    assert not list(batch.add("a", toy(network, steps=1)))
    assert "a" in batch


def test_who_is_dropped_while_reports_are_told_is_let_go() -> None:
    network, (batch, _) = Counted(), batch_of()
    for name in ("a", "b", "c"):
        assert not list(batch.add(name, toy(network, steps=2)))
    heard = list[str]()
    for name, _report in batch.tick():
        heard.append(name)
        batch.drop("b")
        batch.drop(name)
    assert heard == ["a", "c"]
    assert len(batch) == 0
    assert not list(batch.tick())


def test_a_dropped_plan_is_closed() -> None:
    closed = list[str]()

    def plan() -> Plan:
        try:
            return (yield stage(Counted(), torch.zeros(1, 3)))
        finally:
            closed.append("closed")

    batch, _ = batch_of()
    list(batch.add("a", plan()))
    batch.drop("a")
    assert closed == ["closed"]


def test_a_name_is_under_way_once() -> None:
    batch, _ = batch_of()
    list(batch.add("a", toy(Counted())))
    with pytest.raises(AssertionError, match="a is under way"):
        list(batch.add("a", toy(Counted())))


def test_an_empty_batch_has_nothing_to_tell() -> None:
    batch, told = batch_of()
    assert not list(batch.tick())
    assert not told.calls
    assert len(batch) == 0


def test_calls_remember_no_gradient() -> None:
    weight = torch.tensor(0.5, requires_grad=True)

    def network(x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
        del t, conditions
        return weight * x_t

    def plan() -> Plan:
        counted: Any = network
        return (yield stage(counted, torch.ones(1, 3)))

    told = run({"a": plan(), "b": plan()})
    assert not told.images("a").requires_grad


def test_a_mask_of_its_own_row_is_kept() -> None:
    network = Counted()
    mask = torch.tensor([[True, False, True]])
    states = torch.randn(1, 3, 2)
    call = Call(
        network, Rows(torch.zeros(1, 3), torch.tensor([0]), {"text_encodings": states, "text_mask": mask})
    )
    longer = replace(
        call.rows,
        conditions={"text_encodings": torch.randn(1, 6, 2), "text_mask": torch.ones(1, 6, dtype=torch.bool)},
    )
    first, _ = together([call, Call(network, longer)], 10**9)
    torch.testing.assert_close(first, evaluate(call))
