from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from unclip.checkpoints.tensors import load_strictly, read_tensors, to_int8, write_tensors
from unclip.errors import CheckpointError

SHAPES = st.sampled_from([(64, 64), (8, 512), (4096, 1), (16, 32, 3, 3)])


def through_file(folder: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    write_tensors(folder / "a.safetensors", tensors)
    return read_tensors(folder / "a.safetensors")


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4),
        "b": torch.randn(4, 3).T,  # not contiguous
        "c": torch.tensor(7),
        "d": torch.randn(5).bfloat16(),
        "e": nn.Parameter(torch.randn(2)),
    }
    found = through_file(tmp_path, tensors)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


@given(SHAPES, st.integers(-3, 3), st.integers(0, 9))
def test_int8_is_off_by_half_a_step_at_most(shape: tuple[int, ...], magnitude: int, seed: int) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 10.0**magnitude
    packed = to_int8({"w": weight})
    assert (packed["w"].dtype, packed["w.scale"].dtype) == (torch.int8, torch.float16)
    assert packed["w.scale"].numel() == len(weight)  # one per output channel
    step = packed["w.scale"].float()
    error = (packed["w"].float() * step - weight).abs()
    assert (error <= 0.5001 * step).all()


def test_int8_is_unpacked_on_reading(tmp_path: Path) -> None:
    weight = torch.randn(64, 64)
    packed = to_int8({"w": weight})
    found = through_file(tmp_path, packed)
    assert found.keys() == {"w"}
    torch.testing.assert_close(found["w"], packed["w"].float() * packed["w.scale"].float(), rtol=0, atol=0)


def test_an_output_channel_of_zeros_stays_zero(tmp_path: Path) -> None:
    weight = torch.randn(64, 64)
    weight[3] = 0
    found = through_file(tmp_path, to_int8({"w": weight}))["w"]
    assert found.isfinite().all()
    assert not found[3].any()


def test_vectors_and_small_weights_keep_half_precision() -> None:
    packed = to_int8({"bias": torch.randn(5000), "small": torch.randn(8, 8), "scalar": torch.tensor(2.66)})
    assert {name: tensor.dtype for name, tensor in packed.items()} == dict.fromkeys(packed, torch.float16)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_torn_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.randn(100)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"a\.safetensors cannot be read"):
        read_tensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.safetensors is missing"):
        read_tensors(tmp_path / "a.safetensors")


def test_everything_that_does_not_fit_is_listed_at_once() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    weights = dict(network.state_dict())
    weights["0.weight"] = torch.zeros(3, 5)
    weights["2.weight"] = weights.pop("1.weight")
    weights["2.bias.scale"] = torch.zeros(1)  # the scale of a tensor that is not there
    before = network[0].weight.clone()
    with pytest.raises(CheckpointError) as caught:
        load_strictly(network, weights, "decoder")
    for word in (
        "decoder",
        "'2.weight'",
        "'2.bias.scale'",
        "missing ['1.weight']",
        "0.weight (3, 5) for (3, 2)",
    ):
        assert word in str(caught.value)
    assert torch.equal(network[0].weight, before)


def test_a_scale_alone_is_an_unknown_tensor(tmp_path: Path) -> None:
    found = through_file(tmp_path, {"w.scale": torch.ones(3)})
    with pytest.raises(CheckpointError, match=r"unknown tensors \['w.scale'\]"):
        load_strictly(nn.Identity(), found, "here")


def test_weights_take_the_dtype_of_the_network() -> None:
    network = nn.Linear(2, 3)
    load_strictly(network, {"weight": torch.ones(3, 2).half(), "bias": torch.zeros(3).bfloat16()}, "here")
    assert network.weight.dtype == network.bias.dtype == torch.float32
    assert network.weight.sum() == 6


def test_tables_keep_half_precision_whatever_their_size(tmp_path: Path) -> None:
    tensors = {"table": torch.randn(64, 64), "w": torch.randn(64, 64)}
    packed = to_int8(tensors, tables={"table"})
    assert (packed["table"].dtype, packed["w"].dtype) == (torch.float16, torch.int8)
    found = through_file(tmp_path, packed)
    torch.testing.assert_close(found["table"], tensors["table"].half())


def test_what_was_rounded_once_is_not_rounded_again(tmp_path: Path) -> None:
    once = to_int8({"w": torch.randn(256, 64) * 0.01})
    write_tensors(tmp_path / "w.safetensors", once)
    again = to_int8(read_tensors(tmp_path / "w.safetensors"))
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())
