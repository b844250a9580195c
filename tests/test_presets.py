import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unclip import presets
from unclip.checkpoints.store import NETWORKS, build
from unclip.diffusion.process import Process
from unclip.diffusion.samplers import SAMPLERS
from unclip.diffusion.schedule import respace
from unclip.presets import SystemConfig

Preset = Callable[[], SystemConfig]
PRESETS: dict[str, Preset] = {
    "bundled": presets.bundled,
    "tiny": presets.tiny,
    "karlo": presets.karlo,
    "paper": presets.paper,
}
PAGE = Path(__file__).parents[1] / "docs" / "presets.md"
PARTS = [name for name in NETWORKS if name != "distilled"]  # which has the shape of the decoder
every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@cache
def networks(preset: Preset) -> dict[str, Any]:
    """The components of a preset on the meta device, which holds no numbers."""
    shapes = preset()
    with torch.device("meta"):
        return {name: build(name, shape) for name in PARTS if (shape := getattr(shapes, name)) is not None}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_karlo_has_karlos_parameters() -> None:
    """kakaobrain/karlo-v1-alpha as huggingface/diffusers @58eb52c counts it; CLIP as openai/CLIP does."""
    karlo = networks(presets.karlo)
    prior = karlo["prior"]
    assert count(karlo["clip"]) == 427_616_513
    assert count(prior) + prior.clip_mean.numel() + prior.clip_std.numel() == 1_022_030_080
    assert count(karlo["decoder"].unet) == 885_439_686
    assert count(karlo["decoder"]) - count(karlo["decoder"].unet) == 7_878_400
    assert count(karlo["upsampler256"].unet) == count(karlo["upsampler256"].last_unet) == 691_579_523
    assert "upsampler1024" not in karlo


def table() -> dict[str, list[str]]:
    """The rows of the page's table of parameters: one cell per preset, then the published number."""
    rows = re.findall(
        r"^\| `(\w+)` \|(.*)\|$", PAGE.read_text(encoding="utf-8").split("## Parameters")[1], re.M
    )
    return {component: [cell.strip() for cell in cells.split("|")] for component, cells in rows}


def test_the_page_counts_every_parameter() -> None:
    columns = {name: networks(preset) for name, preset in PRESETS.items()}
    expected = {
        component: [
            f"{count(column[component]):,}" if component in column else "" for column in columns.values()
        ]
        for component in PARTS
    }
    assert {component: cells[:-1] for component, cells in table().items()} == expected


@pytest.mark.parametrize("component", ["prior", "decoder", "upsampler256", "upsampler1024"])
def test_the_papers_sizes_round_to_its_numbers(component: str) -> None:
    *_, counted, published = table()[component]
    number, unit = float(published[:-1]), {"B": 1e9, "M": 1e6}[published[-1]]
    digits = len(published[:-1].replace(".", "").rstrip("0"))
    assert float(f"{int(counted.replace(',', '')):.{digits - 1}e}") == number * unit


@every_preset
def test_the_components_of_a_preset_fit_each_other(preset: Preset) -> None:
    shapes = preset()
    clip, prior, decoder = shapes.clip, shapes.prior, shapes.decoder
    assert (prior.embed_dim, prior.text_width) == (clip.embed_dim, clip.text_width)
    assert (decoder.embed_dim, decoder.text_width) == (clip.embed_dim, clip.text_width)
    assert prior.context_length == clip.context_length
    if (other := shapes.prior_ar) is not None:
        assert other.embed_dim == prior.embed_dim >= other.components
        assert (other.text_width, other.context_length) == (prior.text_width, prior.context_length)
    size = decoder.image_size
    for upsampler in filter(None, (shapes.upsampler256, shapes.upsampler1024)):
        assert (upsampler.low_size, upsampler.image_size) == (size, 4 * size)
        size = upsampler.image_size


@every_preset
def test_every_stage_of_a_preset_can_be_sampled(preset: Preset) -> None:
    shapes = preset()
    diffusing = [name for name in PARTS if name not in ("clip", "prior_ar")]
    assert list(shapes.stages) == [name for name in diffusing if getattr(shapes, name)]
    for name, stage in shapes.stages.items():
        assert stage.defaults.sampler in SAMPLERS
        respace(Process(stage.process).schedule, stage.defaults.num_steps)
        unet = getattr(getattr(shapes, name), "unet", None)
        outputs = 6 if stage.process.variance == "learned_range" else 3
        assert unet is None or unet.out_channels == outputs


@every_preset
def test_every_network_of_a_preset_runs(preset: Preset) -> None:
    """On the meta device: every shape is checked and nothing is computed."""
    shapes, net = preset(), networks(preset)
    clip, length = shapes.clip, shapes.clip.context_length

    def normal(*shape: int) -> Tensor:
        return torch.empty(1, *shape, device="meta")

    t = torch.zeros(1, dtype=torch.int64, device="meta")
    tokens = torch.zeros(1, length, dtype=torch.int64, device="meta")
    mask = torch.ones(1, length, dtype=torch.bool, device="meta")
    text_embed, text_encodings = net["clip"].encode_text(tokens, mask)
    image_embed = net["clip"].encode_image(normal(3, clip.image_size, clip.image_size))
    assert text_embed.shape == image_embed.shape == (1, clip.embed_dim)
    assert net["prior"](image_embed, t, text_embed, text_encodings, mask).shape == (1, clip.embed_dim)
    size = shapes.decoder.image_size
    given = {"text_embed": text_embed, "text_encodings": text_encodings, "text_mask": mask}
    if "prior_ar" in net:
        drawn, buckets = tokens[:, : shapes.prior_ar.components], shapes.prior_ar.buckets
        assert net["prior_ar"](drawn, t, **given).shape == (1, buckets)
    out = net["decoder"](normal(3, size, size), t, image_embed=image_embed, image_mask=mask[:, 0], **given)
    assert out.shape == (1, shapes.decoder.unet.out_channels, size, size)
    for upsampler in (net[name] for name in ("upsampler256", "upsampler1024") if name in net):
        low, high = upsampler.config.low_size, upsampler.config.image_size
        unets = filter(None, (upsampler.unet, upsampler.last_unet))  # chosen by t, which is no number here
        assert all(unet(normal(6, high, high), t).shape == (1, 3, high, high) for unet in unets)
        assert upsampler.last_unet or upsampler(normal(3, high, high), t, normal(3, low, low)).shape[1] == 3
