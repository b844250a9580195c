"""The map of the original's tensors, held against its maths (tests/support/karlo_original.py)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from karlo_original import DECODER, LENGTH, PRIOR, UNET, UPSAMPLER, attended, networks
from torch import Tensor, nn

from unclip import presets
from unclip.checkpoints.interop.karlo_keys import (
    STATISTICS,
    decoder_links,
    interleaved,
    pointwise,
    prior_links,
    upsampler_links,
)
from unclip.checkpoints.interop.links import STACKED, Form, Link, exported, imported
from unclip.checkpoints.store import build_empty
from unclip.checkpoints.tensors import held, load_strictly, shapes_of
from unclip.nn.attention import ContextAttention, SelfAttention

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
CONFIGS: dict[str, tuple[Any, Callable[[Any], list[Link]]]] = {
    "prior": (PRIOR, prior_links),
    "decoder": (DECODER, decoder_links),
    "upsampler": (UPSAMPLER, upsampler_links),
}


@pytest.fixture(scope="module")
def originals() -> dict[str, nn.Module]:
    return networks()


def theirs(name: str, original: nn.Module) -> dict[str, Tensor]:
    """The tensors of an original network, and the statistics of embeddings for a prior."""
    torch.manual_seed(1)
    width = PRIOR.embed_dim
    statistics = {f"{STATISTICS}mean": torch.randn(width), f"{STATISTICS}std": torch.rand(width) + 0.5}
    return {**original.state_dict(), **(statistics if name == "prior" else {})}


def ours(name: str, original: nn.Module) -> Any:
    """Our network with the weights of an original."""
    config, links = CONFIGS[name]
    network = build_empty(name, config)
    source = imported(
        held("it", theirs(name, original)), links(config), shapes_of(network.state_dict().items())
    )
    load_strictly(network, source.read(list(source.shapes)), "it")
    return network


def conditions(rows: int) -> dict[str, Tensor]:
    """Embeddings and encodings of sentences, the first the shortest, the last as long as can be."""
    lengths = torch.linspace(2, LENGTH, rows).int()
    return {
        "text_embed": torch.randn(rows, 16),
        "text_encodings": torch.randn(rows, LENGTH, 16),
        "text_mask": torch.arange(LENGTH)[None] < lengths[:, None],
    }


@pytest.mark.parametrize(
    ("form", "ours", "theirs"),
    [
        (interleaved(3, 4), (24, 5), (24, 5)),
        (interleaved(3, 4), (24,), (24,)),
        (interleaved(2, 3), (12, 7), (12, 7)),
        (pointwise(STACKED), (6, 5), (6, 5, 1)),
        (pointwise(interleaved(3, 2)), (12, 5), (12, 5, 1)),
    ],
)
def test_every_form_goes_there_and_back(form: Form, ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    own, other = torch.randn(ours), torch.randn(theirs)
    (split,) = form.split(own, 1)
    assert split.shape == theirs
    assert torch.equal(form.join([split]), own)
    assert torch.equal(form.split(form.join([other]), 1)[0], other)


def test_heads_take_turns_over_there() -> None:
    rows = torch.tensor(
        [f * 10 + h for h in (1, 2) for f in (1, 2, 3) for _ in range(2)]
    )  # q_1 k_1 v_1 q_2 ...
    assert interleaved(3, 2).join([rows]).tolist() == [11, 11, 12, 12, 21, 21, 22, 22, 31, 31, 32, 32]


def test_attention_of_pixels_is_the_originals() -> None:
    ours = ContextAttention(32, 8, 12, groups=4)
    theirs = {
        "qkv": nn.Conv1d(32, 96, 1),
        "encoder_kv": nn.Conv1d(12, 64, 1),
        "proj_out": nn.Conv1d(32, 32, 1),
    }
    turns = {"qkv": interleaved(3, 8), "encoder_kv": interleaved(2, 8), "proj_out": STACKED}
    layers = {"qkv": ours.qkv, "encoder_kv": ours.context_kv, "proj_out": ours.out}
    for name, layer in layers.items():
        assert layer is not None
        layer.weight.data = pointwise(turns[name]).join([theirs[name].weight])
        layer.bias.data = turns[name].join([theirs[name].bias])
    x, context = torch.randn(2, 32, 3, 5), torch.randn(2, 7, 12)
    qkv, context_kv = theirs["qkv"](ours.norm(x).flatten(2)), theirs["encoder_kv"](context.mT)
    expected = x + theirs["proj_out"](attended(qkv, context_kv, None, heads=4)).view_as(x)
    torch.testing.assert_close(ours(x, context), expected, **CLOSE)


def test_attention_of_tokens_is_the_originals() -> None:
    ours, theirs, x = SelfAttention(24, 3), nn.Linear(24, 72), torch.randn(2, 5, 24)
    ours.qkv.weight.data = interleaved(3, 8).join([theirs.weight])
    ours.qkv.bias.data = interleaved(3, 8).join([theirs.bias])
    expected = ours.out(attended(theirs(x).mT, None, None, heads=3).mT)
    torch.testing.assert_close(ours(x), expected, **CLOSE)


def test_the_prior_predicts_what_the_original_does(originals: dict[str, nn.Module]) -> None:
    x_t, t, text = torch.randn(3, 16), torch.tensor([0, 480, 999]), conditions(3)
    expected = originals["prior"].get_submodule("model")(x_t, t, *text.values())
    torch.testing.assert_close(ours("prior", originals["prior"])(x_t, t, **text), expected, **CLOSE)


def test_the_prior_whitens_by_the_statistics(originals: dict[str, nn.Module]) -> None:
    prior, given = ours("prior", originals["prior"]), theirs("prior", originals["prior"])
    assert torch.equal(prior.clip_mean, given[f"{STATISTICS}mean"])
    assert torch.equal(prior.clip_std, given[f"{STATISTICS}std"])


def test_the_decoder_predicts_what_the_original_does(originals: dict[str, nn.Module]) -> None:
    decoder, original = ours("decoder", originals["decoder"]), originals["decoder"].get_submodule("model")
    x_t, t, embed, text = torch.randn(2, 3, 16, 16), torch.tensor([0, 999]), torch.randn(2, 16), conditions(2)
    known = torch.tensor([True, False])
    given = torch.where(known[:, None], embed, original.cf_param)
    expected = original(x_t, t, given, *text.values())
    torch.testing.assert_close(decoder(x_t, t, embed, known, **text), expected, **CLOSE)


@pytest.mark.parametrize(("t", "which"), [(0, "model_last_step"), (500, "model_first_steps")])
def test_the_upsampler_predicts_what_the_original_does(
    originals: dict[str, nn.Module], t: int, which: str
) -> None:
    x_t, low_res, time = torch.randn(2, 3, 32, 32), torch.rand(2, 3, 16, 16) * 2 - 1, torch.full((2,), t)
    resized = F.interpolate(low_res, (32, 32), mode="bicubic", antialias=True)
    original: Any = originals["upsampler"].get_submodule(which)
    expected = original.predicted(torch.cat([x_t, resized], dim=1), time, 0.0)
    found = ours("upsampler", originals["upsampler"])(x_t, time, low_res)
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_tensor_goes_there_and_back(originals: dict[str, nn.Module], name: str) -> None:
    config, links = CONFIGS[name]
    before, after = (
        theirs(name, originals[name]),
        exported(ours(name, originals[name]).state_dict(), links(config)),
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[key]) for key, tensor in before.items())


def test_levels_of_one_width_have_no_shortcut() -> None:
    assert UNET.channels[1] == UNET.channels[2]
    names = {name for link in decoder_links(DECODER) for name in link.theirs}
    assert "model.input_blocks.4.0.skip_connection.weight" in names  # the first block of level 1
    assert "model.input_blocks.7.0.in_layers.0.weight" in names
    assert "model.input_blocks.7.0.skip_connection.weight" not in names  # the first of level 2


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [("prior", 258, 1_022_028_544), ("decoder", 595, 893_318_086), ("upsampler", 816, 1_383_159_046)],
)
def test_karlo_has_as_many_tensors_as_its_own_modules(name: str, tensors: int, parameters: int) -> None:
    """Counted on kakaobrain/karlo's modules at 3c68a50, built by its configs, and the two statistics."""
    karlo = presets.karlo()
    config = {"prior": karlo.prior, "decoder": karlo.decoder, "upsampler": karlo.upsampler256}[name]
    links = CONFIGS[name][1](config)
    network: nn.Module = build_empty(name, config)
    assert len({there for link in links for there in link.theirs}) == tensors
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
