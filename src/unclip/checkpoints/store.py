"""Model folders: `system.json` and one subfolder per component."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unclip.checkpoints.configs import config_from_json, config_to_json, read_json, write_json
from unclip.checkpoints.tensors import load_strictly, read_tensors, to_int8, write_tensors
from unclip.diffusion.process import Process
from unclip.errors import CheckpointError, RequestError
from unclip.models.clip import Clip, ClipConfig
from unclip.models.decoder import Decoder, DecoderConfig
from unclip.models.prior import Prior, PriorConfig
from unclip.models.prior_ar import PriorAr, PriorArConfig
from unclip.models.upsampler import Upsampler, UpsamplerConfig
from unclip.system import Card, Quality, Stage, StageConfig, System
from unclip.text.tokenizer import Tokenizer

FORMAT = 1

NETWORKS: dict[str, tuple[type, Callable[[Any], nn.Module]]] = {
    "clip": (ClipConfig, Clip),
    "prior": (PriorConfig, Prior),
    "prior_ar": (PriorArConfig, PriorAr),
    "decoder": (DecoderConfig, Decoder),
    "distilled": (DecoderConfig, Decoder),
    "upsampler256": (UpsamplerConfig, Upsampler),
    "upsampler1024": (UpsamplerConfig, Upsampler),
}
UPSAMPLERS = ("upsampler256", "upsampler1024")


@dataclass(frozen=True)
class SystemFile:
    """The contents of `system.json`."""

    format: int
    kind: str
    card: Card
    stages: dict[str, StageConfig]
    default_quality: Quality = "best"
    prior_ar: bool = False  # whether there is one; it does not diffuse, and so is no stage


def build(component: str, config: Any) -> nn.Module:
    """Make an untrained network of a component from its config."""
    return NETWORKS[component][1](config)


def save_component(folder: Path, network: nn.Module, int8: bool = False) -> None:
    """Write `config.json` and `model.safetensors` of one network."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config_to_json(network.config))
    weights = network.state_dict()
    if int8:
        weights = to_int8(weights, tables={name for name, _ in network.named_buffers()})
    write_tensors(folder / "model.safetensors", weights)


class _NoNormals(TorchFunctionMode):
    """Draws no normal numbers: even to draw none, on the meta device, torch would import its compiler."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ == "normal_":  # of torch.Tensor, or of nn.init, which names the tensor
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_component(folder: Path, component: str) -> nn.Module:
    """Read one network of a system, strictly, in evaluation mode. Raises CheckpointError."""
    return load_network(folder, *NETWORKS[component])


def load_network(folder: Path, config_type: type, network_type: Callable[[Any], nn.Module]) -> nn.Module:
    """Read any network that `save_component` wrote, strictly, in evaluation mode. Raises CheckpointError."""
    path = folder / "config.json"
    config = config_from_json(config_type, read_json(path), str(path))
    with torch.device("meta"), _NoNormals():
        network = network_type(config)
    load_strictly(network, read_tensors(folder / "model.safetensors"), str(folder))
    return network.eval().requires_grad_(False)


def save_system(folder: Path, system: System, int8: bool = False) -> None:
    """Write a model folder; with `int8`, large weights take one byte each."""
    folder.mkdir(parents=True, exist_ok=True)
    file = SystemFile(
        FORMAT,
        "unclip",
        system.card,
        _stage_configs(named_stages(system)),
        system.default_quality,
        system.prior_ar is not None,
    )
    write_json(folder / "system.json", asdict(file))
    system.tokenizer.save(folder / "tokenizer")
    for name, network in named_networks(system).items():
        save_component(folder / name, network, int8)


def named_networks(system: System) -> dict[str, nn.Module]:
    """Return all networks of a system by the names of their folders."""
    networks: dict[str, nn.Module] = {"clip": system.clip}
    networks |= {name: stage.network for name, stage in named_stages(system).items()}
    if system.prior_ar is not None:
        networks["prior_ar"] = system.prior_ar
    return networks


def named_stages(system: System) -> dict[str, Stage[Any]]:
    """Return the diffusion stages of a system by the names of their folders."""
    stages: dict[str, Stage[Any] | None] = {
        "prior": system.prior,
        "decoder": system.decoder,
        "distilled": system.distilled,
    }
    for upsampler in system.upsamplers:
        stages[f"upsampler{upsampler.network.config.image_size}"] = upsampler
    return {name: stage for name, stage in stages.items() if stage is not None}


def _stage_configs(stages: dict[str, Stage[Any]]) -> dict[str, StageConfig]:
    return {
        name: StageConfig(stage.process.config, stage.defaults, stage.eps_moments)
        for name, stage in stages.items()
    }


def read_system_file(folder: Path) -> SystemFile:
    """Read `system.json`. Raises CheckpointError if the folder is no model of this format."""
    if not folder.is_dir():
        raise CheckpointError(f"no model folder at {folder}")
    path = folder / "system.json"
    values = read_json(path)
    if not isinstance(values, dict) or (values.get("kind"), values.get("format")) != ("unclip", FORMAT):
        raise CheckpointError(f"{path} is not of format unclip {FORMAT}, the one that this version reads")
    return config_from_json(SystemFile, values, str(path))


def load_system(folder: Path, stages: Collection[str] | None = None) -> System:
    """Read a model folder, or only the named stages beside tokenizer and CLIP.

    Raises CheckpointError for a folder that is no whole model, RequestError for a stage it does not have.
    """
    file = read_system_file(folder)
    there = [*file.stages, *(["prior_ar"] if file.prior_ar else [])]
    if absent := sorted(set(stages or ()).difference(there)):
        raise RequestError(f"{folder} has no stage {absent[0]!r}, only {', '.join(there)}")

    def network(name: str) -> Any:
        wanted = name in there and (stages is None or name in stages)
        return load_component(folder / name, name) if wanted else None

    def stage(name: str) -> Stage[Any] | None:
        if (loaded := network(name)) is None:
            return None
        config = file.stages[name]
        return Stage(loaded, Process(config.process), config.defaults, config.eps_moments)

    clip = load_component(folder / "clip", "clip")
    assert isinstance(clip, Clip)
    upsamplers = tuple(upsampler for name in UPSAMPLERS if (upsampler := stage(name)) is not None)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    return System(
        file.card,
        tokenizer,
        clip,
        stage("prior"),
        stage("decoder"),
        upsamplers,
        stage("distilled"),
        file.default_quality,
        network("prior_ar"),
    )


def fingerprint(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of a SHA-256 over a model folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
