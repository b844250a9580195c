"""How weights come into networks: every plan gives the same model, in its own dtype and place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unclip.checkpoints import placing
from unclip.checkpoints.placing import Plan, compute_in, place, units
from unclip.checkpoints.store import build, load_system, named_networks, open_system, save_system
from unclip.nn.int8 import Int8Layer
from unclip.nn.packing import PackedConv2d, PackedLinear, can_pack
from unclip.pipelines.generation import Generation
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System

CPU = torch.device("cpu")
BF16 = torch.bfloat16
PLANS = {
    "one at a time": Plan(resident=False),
    "bfloat16": Plan(BF16),
    "bfloat16, one at a time": Plan(BF16, resident=False),
    "int8": Plan(int8=True),
    "int8, bfloat16, one at a time": Plan(BF16, int8=True, resident=False),
}


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the tiny model in many parts, as a large one is read."""
    monkeypatch.setattr(placing, "READ_AT_ONCE", 20_000)


def images(system: System) -> Tensor:
    """Draw small pictures, in float32 whatever the networks compute in."""
    request = TextToImage("a red cube", n=2, seed=3, size=256, steps=2, quality="best")
    plan = text_to_image(system, request)
    for _ in (generation := Generation(plan)):
        pass
    return torch.stack([torch.tensor(list(image.tobytes())) for image in generation.images]).float()


def weights_of(unit: nn.Module) -> list[Tensor]:
    return [*unit.parameters(), *(layer.weight for layer in unit.modules() if isinstance(layer, Int8Layer))]


def in_memory(system: System) -> Iterator[str]:
    for name, network in named_networks(system).items():
        for prefix, unit in units(network).items():
            if not any(weight.is_meta for weight in weights_of(unit)):
                yield f"{name}.{prefix}"


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_draws_the_picture(model_folder: Path, plan: Plan) -> None:
    expected = images(load_system(model_folder))
    found = images(place(open_system(model_folder), plan, CPU))
    # Random networks make much of rounding: other weights would differ by 80 and more.
    difference = (found - expected).abs().mean()
    assert difference == 0 if plan == Plan(resident=False) else difference < 8


def test_one_network_at_a_time_is_in_memory(model_folder: Path) -> None:
    system = place(open_system(model_folder), Plan(BF16, resident=False), CPU)
    assert list(in_memory(system)) == []
    assert not system.clip.logit_scale.is_meta
    assert system.prior is not None
    assert not system.prior.network.clip_mean.is_meta
    seen = dict[str, list[str]]()
    for step in Generation(text_to_image(system, TextToImage("a red cube", size=1024, steps=2))):
        seen.setdefault(step.stage, list(in_memory(system)))
    assert seen == {name: [f"{name}.{'unet.' * ('up' in name)}"] for name in seen}
    assert list(seen) == ["prior", "decoder", "upsampler256", "upsampler1024"]


def test_a_network_that_comes_back_is_what_it_was(model_folder: Path) -> None:
    system = place(open_system(model_folder), Plan(resident=False), CPU)
    first = images(system)
    assert torch.equal(images(system), first)


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no oneDNN operators")
def test_bfloat16_weights_are_packed_on_a_cpu(model_folder: Path) -> None:
    system = place(open_system(model_folder), Plan(BF16), CPU)
    assert system.decoder is not None
    kinds = {type(layer) for layer in system.decoder.network.modules()}
    assert {PackedLinear, PackedConv2d} <= kinds
    assert {nn.Linear, nn.Conv2d}.isdisjoint(kinds)


def test_buffers_keep_their_precision(model_folder: Path) -> None:
    system = place(open_system(model_folder), Plan(BF16), CPU)
    assert system.prior is not None
    assert system.prior.network.clip_std.dtype == torch.float32
    assert torch.equal(system.prior.network.clip_std, load_system(model_folder).prior.network.clip_std)  # type: ignore[union-attr]


def test_the_upsampler_of_the_last_step_is_read_alone(karlo_like: System, tmp_path: Path) -> None:
    stage = karlo_like.upsamplers[0]
    expected: Any = build("upsampler32", replace(stage.network.config, last_step=True)).eval()
    save_system(tmp_path / "karlo", replace(karlo_like, upsamplers=(replace(stage, network=expected),)))
    system = place(open_system(tmp_path / "karlo"), Plan(resident=False), CPU)
    upsampler = system.upsamplers[0].network
    x, low_res = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 16, 16)
    for t, name in ((500, "unet."), (0, "last_unet.")):
        steps = torch.full((2,), t)
        assert torch.equal(upsampler(x, steps, low_res), expected(x, steps, low_res))
        assert list(in_memory(system)) == [f"upsampler32.{name}"]
    both = torch.tensor([0, 500])
    torch.testing.assert_close(upsampler(x, both, low_res), expected(x, both, low_res))


def test_a_network_takes_float32_and_gives_float32() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor, *, t: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
            assert (x.dtype, t.dtype, y) == (BF16, torch.int64, None)
            assert x.is_contiguous(memory_format=torch.channels_last)
            return x * 2, x[:, 0]

    network = Pair()
    compute_in(network, BF16)
    first, second = network(torch.ones(1, 4, 5, 6), t=torch.tensor([3]))
    assert first.dtype == second.dtype == torch.float32


def test_the_text_tower_is_placed_alone(model_folder: Path) -> None:
    system = place(open_system(model_folder), Plan(resident=False), CPU)
    tokens = system.tokenizer(["a red cube"])
    with torch.no_grad():
        system.clip.encode_text(tokens.tokens, tokens.mask)
        assert list(in_memory(system)) == ["clip.text."]
        system.clip.encode_image(torch.zeros(1, 3, 64, 64))
    assert list(in_memory(system)) == ["clip.image."]
