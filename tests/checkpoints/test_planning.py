import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unclip import presets
from unclip.checkpoints import planning
from unclip.checkpoints.placing import Plan
from unclip.checkpoints.planning import GIB, choose_plan, described, gib, memory, parse_size
from unclip.checkpoints.store import Opened, build_empty, open_system, system_of
from unclip.errors import RequestError
from unclip.system import Card
from unclip.text.tokenizer import Tokenizer

CPU = torch.device("cpu")
BF16 = torch.bfloat16


@pytest.fixture(scope="module")
def karlo(tokenizer: Tokenizer) -> Opened:
    """The shapes of Karlo's folder of sentences, without weights."""
    shapes = presets.karlo()
    shapes = replace(shapes, clip=replace(shapes.clip, image_size=0))
    names = ("clip", "prior", "decoder", "upsampler256")
    networks = {name: build_empty(name, getattr(shapes, name)) for name in names}
    return Opened(system_of(Card("karlo", "", (), ()), tokenizer, networks, shapes.stages), {})


@pytest.fixture
def small(model_folder: Path) -> Opened:
    return open_system(model_folder)


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Say whether the processor multiplies bfloat16."""
    return lambda able: monkeypatch.setattr(planning, "computes_in_bfloat16", lambda: able)


def test_a_small_model_stays_as_it_is(small: Opened) -> None:
    assert choose_plan(small, CPU) == Plan()


def test_a_large_model_is_held_one_network_at_a_time(karlo: Opened, native: Any) -> None:
    native(True)
    assert choose_plan(karlo, CPU) == Plan(BF16, resident=False)
    native(False)
    assert choose_plan(karlo, CPU) == Plan(torch.float32, resident=False)
    assert choose_plan(karlo, CPU, dtype="float32") == Plan(torch.float32, resident=False)


@pytest.mark.parametrize(
    ("limit", "plan"),
    [
        (64, Plan(BF16)),
        (10, Plan(BF16)),
        (4, Plan(BF16, resident=False)),
        (3.2, Plan(BF16, int8=True, resident=False)),
    ],
)
def test_a_limit_picks_the_fastest_plan_that_fits(
    karlo: Opened, native: Any, limit: float, plan: Plan
) -> None:
    native(True)
    found = choose_plan(karlo, CPU, limit=int(limit * GIB))
    assert found == plan
    assert memory(karlo, found) <= limit * GIB


def test_a_limit_that_no_plan_keeps_is_refused(karlo: Opened, native: Any) -> None:
    native(True)
    with pytest.raises(RequestError, match=r"a memory limit of 2 GiB is too low: this model needs 3\.1 GiB"):
        choose_plan(karlo, CPU, limit=2 * 2**30)
    with pytest.raises(RequestError, match=r"may need less in another dtype than float32"):
        choose_plan(karlo, CPU, dtype="float32", limit=2 * 2**30)


def test_weights_can_be_asked_for(karlo: Opened, native: Any) -> None:
    native(True)
    assert choose_plan(karlo, CPU, weights="int8").int8
    assert not choose_plan(karlo, CPU, weights="float", limit=4 * 2**30).int8
    with pytest.raises(RequestError, match="too low"):
        choose_plan(karlo, CPU, weights="float", limit=3 * 2**30)


def test_a_cpu_does_not_compute_in_float16(small: Opened) -> None:
    with pytest.raises(RequestError, match="a CPU does not compute in float16: ask for bfloat16 or float32"):
        choose_plan(small, CPU, dtype="float16")


def test_the_estimate_is_what_was_measured(karlo: Opened) -> None:
    """VmHWM of a whole run with Karlo's shapes, by benchmarks/karlo.py: within a fifth, never below."""
    for plan, measured in ((Plan(BF16, resident=False), 3.50), (Plan(BF16, int8=True, resident=False), 2.89)):
        assert measured <= memory(karlo, plan) / GIB <= 1.2 * measured


def test_the_page_says_what_each_plan_takes(karlo: Opened) -> None:
    page = (Path(__file__).parents[2] / "docs" / "karlo.md").read_text(encoding="utf-8")
    plans = (Plan(BF16), Plan(BF16, resident=False), Plan(BF16, int8=True, resident=False))
    rows = re.findall(r"^\| (?:all|one).*\| ([\d.]+ GiB) \|$", page, re.M)
    assert rows == [gib(memory(karlo, plan)) for plan in plans]
    assert described(karlo, plans[-1]) in page


def test_what_was_chosen_is_said(karlo: Opened) -> None:
    said = described(karlo, Plan(BF16, int8=True, resident=False))
    assert said.startswith("one network in memory at a time, int8 weights, bfloat16, about 3.1")
    assert described(karlo, Plan()).startswith("all networks in memory, float32, about")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("3.5 GB", 3_500_000_000),
        ("800mb", 800_000_000),
        ("2G", 2**31),
        ("512MiB", 2**29),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "4", "lots", "-1GB", "0GB", "nanGB", "infGB", "4 GiB GiB", "1e400GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="memory limit"):
        parse_size(text)


def test_sizes_are_written() -> None:
    assert gib(2**30) == "1 GiB"
    assert gib(3.01 * 2**30) == "3.1 GiB"
