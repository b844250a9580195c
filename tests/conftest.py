"""What tests share: repeatable randomness, and one tiny untrained system."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import settings

from unclip import presets
from unclip.checkpoints.store import build, save_system
from unclip.diffusion.process import Process
from unclip.models.decoder import guided_copy
from unclip.system import Card, SamplingDefaults, Stage, System
from unclip.text.tokenizer import Tokenizer

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

torch.set_num_threads(1)  # networks this small wait longer for threads than they compute


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    captions = [f"a {colour} {thing} on a table" for colour in ("red", "blue") for thing in ("cube", "apple")]
    shape = presets.tiny().clip
    return Tokenizer.train(captions, shape.vocab_size, shape.context_length)


@pytest.fixture(scope="session")
def system(tokenizer: Tokenizer) -> System:
    """The tiny preset with random weights, in evaluation mode; tests must not change it."""
    torch.manual_seed(0)
    shapes = presets.tiny()

    def network(component: str) -> Any:
        network = build(component, getattr(shapes, component)).eval().requires_grad_(False)
        for name, tensor in network.state_dict().items():
            if not tensor.any():  # such as the null image embedding, which would be told from no other zero
                tensor.normal_(std=0.02 if "conv_out" in name else 1.0)
        return network

    stages = {
        name: Stage(network(name), Process(config.process), config.defaults)
        for name, config in shapes.stages.items()
    }
    card = Card("tiny", "Apache-2.0", ("nothing",), ("a", "apple", "blue", "cube", "on", "red", "table"))
    upsamplers = (stages["upsampler256"], stages["upsampler1024"])
    return System(card, tokenizer, network("clip"), stages["prior"], stages["decoder"], upsamplers)


@pytest.fixture(scope="session")
def model_folder(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny system as a model folder; tests that change it must copy it first."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_system(folder, system)
    return folder


@pytest.fixture(scope="session")
def karlo_like() -> System:
    """Karlo's structure with tiny networks of random weights and a tokenizer of our own, which pads to 20."""
    torch.manual_seed(0)
    karlo = presets.karlo()
    tokenizer = Tokenizer.train(["a red cube on a blue cube", "an apple"], vocab_size=280, context_length=20)
    clip = replace(
        karlo.clip,
        embed_dim=32,
        image_size=32,
        patch_size=8,
        image_width=32,
        image_depth=1,
        image_heads=2,
        vocab_size=tokenizer.vocab_size + 3,
        context_length=20,
        text_width=32,
        text_depth=2,
        text_heads=2,
        activation="gelu",
        text_mlp_width=37,
    )
    prior = replace(karlo.prior, embed_dim=32, text_width=32, context_length=20, width=24, depth=1, heads=2)
    shape = {"channels": (32, 64), "depth": 1, "head_width": 8}
    unet = replace(karlo.decoder.unet, attention=(False, True), context_width=40, **shape)
    decoder = replace(karlo.decoder, embed_dim=32, text_width=32, unet=unet, image_size=16, image_tokens=3)
    unet = replace(karlo.upsampler256.unet, attention=(False, False), **shape)
    upsampler = replace(karlo.upsampler256, low_size=16, image_size=32, unet=unet, last_step=False)

    def network(component: str, config: Any) -> Any:
        network = build(component, config).eval().requires_grad_(False)
        for tensor in network.state_dict().values():
            if tensor.ndim and (tensor == tensor.flatten()[0]).all():  # 0 or 1, which would tell nothing
                tensor += 0.1 * torch.randn_like(tensor)
        return network

    configs = {"prior": prior, "decoder": decoder, "upsampler256": upsampler}
    stages = {
        name: Stage(network(name, config), Process(karlo.stages[name].process), karlo.stages[name].defaults)
        for name, config in configs.items()
    }
    card = Card("karlo-like", "CC BY 4.0", ("prior: nothing", "decoder: nothing"), ("apple",))
    return System(
        card, tokenizer, network("clip", clip), stages["prior"], stages["decoder"], (stages["upsampler256"],)
    )


@pytest.fixture(scope="session")
def ar_system(system: System) -> System:
    """The tiny system with an autoregressive prior too, fitted to embeddings as random as its weights."""
    torch.manual_seed(0)
    network: Any = build("prior_ar", presets.tiny().prior_ar).eval().requires_grad_(False)
    network.fit(*F.normalize(torch.randn(2, 512, network.config.embed_dim), dim=-1))
    return replace(system, prior_ar=network)


@pytest.fixture(scope="session")
def ar_folder(ar_system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a model folder; tests that change it must copy it first."""
    folder = tmp_path_factory.mktemp("model") / "ar"
    save_system(folder, ar_system)
    return folder


@pytest.fixture(scope="session")
def distilled_system(system: System) -> System:
    """The tiny system with a distilled decoder that takes the guidance scale and hears it."""
    assert system.decoder is not None
    torch.manual_seed(0)
    network = guided_copy(system.decoder.network).eval().requires_grad_(False)
    assert network.guidance_embed is not None
    network.guidance_embed.linear_2.weight.normal_(std=0.5)
    distilled = Stage(network, system.decoder.process, SamplingDefaults("ddim", 3, guidance_scale=2.0))
    return replace(system, distilled=distilled)


@pytest.fixture(scope="session")
def distilled_folder(distilled_system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a model folder; tests that change it must copy it first."""
    folder = tmp_path_factory.mktemp("model") / "distilled"
    save_system(folder, distilled_system)
    return folder
