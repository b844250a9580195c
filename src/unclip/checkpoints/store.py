"""Model folders: `system.json` and one subfolder per component."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from unclip.checkpoints.configs import config_from_json, config_to_json, read_json, write_json
from unclip.checkpoints.tensors import (
    Source,
    check_strictly,
    load_strictly,
    open_tensors,
    read_tensors,
    shapes_of,
    to_int8,
    write_tensors,
)
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
WHOLE_FILE, BLOCK = 2**26, 2**16  # bytes: see `fingerprint`

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
"""Those that are trained here; a model from elsewhere may have one of another size, by that name."""


@dataclass(frozen=True)
class SystemFile:
    """The contents of `system.json`."""

    format: int
    kind: str
    card: Card
    stages: dict[str, StageConfig]
    default_quality: Quality = "best"
    prior_ar: bool = False  # whether there is one; it does not diffuse, and so is no stage


@dataclass(frozen=True)
class Opened:
    """A model whose networks hold no numbers yet (they are on the meta device), and where those lie."""

    system: System
    sources: Mapping[str, Source]  # by component, with the names and shapes that its network asks for


def build(component: str, config: Any) -> nn.Module:
    """Make an untrained network of a component from its config."""
    return _types(component)[1](config)


def build_empty(component: str, config: Any) -> Any:
    """Make a network of a component on the meta device, in evaluation mode: it holds no numbers."""
    return _empty(config, _types(component)[1])


def _types(component: str) -> tuple[type, Callable[[Any], nn.Module]]:
    return (UpsamplerConfig, Upsampler) if component.startswith("upsampler") else NETWORKS[component]


def _empty(config: Any, network_type: Callable[[Any], nn.Module]) -> nn.Module:
    with torch.device("meta"), _NoNormals():
        return network_type(config).eval().requires_grad_(False)


def save_component(folder: Path, network: nn.Module, int8: bool = False) -> None:
    """Write `config.json` and `model.safetensors` of one network."""
    weights = network.state_dict()
    if int8:
        weights = to_int8(weights, tables={name for name, _ in network.named_buffers()})
    write_component(folder, network.config, weights)


def write_component(folder: Path, config: Any, weights: Mapping[str, Tensor]) -> None:
    """Write the files of one network, its weights as they are stored."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config_to_json(config))
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
    return load_network(folder, *_types(component))


def load_network(folder: Path, config_type: type, network_type: Callable[[Any], nn.Module]) -> nn.Module:
    """Read any network that `save_component` wrote, strictly, in evaluation mode. Raises CheckpointError."""
    path = folder / "config.json"
    network = _empty(config_from_json(config_type, read_json(path), str(path)), network_type)
    load_strictly(network, read_tensors(folder / "model.safetensors"), str(folder))
    return network.requires_grad_(False)


def _open_component(folder: Path, component: str) -> tuple[Any, Source]:
    path, source = folder / "config.json", open_tensors(folder / "model.safetensors")
    network = build_empty(component, config_from_json(_types(component)[0], read_json(path), str(path)))
    check_strictly(str(folder), shapes_of(network.state_dict().items()), source.shapes)
    return network, source


def save_system(folder: Path, system: System, int8: bool = False) -> None:
    """Write a model folder; with `int8`, large weights take one byte each."""
    write_about(folder, system)
    for name, network in named_networks(system).items():
        save_component(folder / name, network, int8)


def write_about(folder: Path, system: System) -> None:
    """Write what a model folder holds beside its networks: `system.json` and the tokenizer."""
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


def open_system(folder: Path, stages: Collection[str] | None = None) -> Opened:
    """Look into a model folder, or only into the named stages beside tokenizer and CLIP.

    Raises CheckpointError for a folder that is no whole model, RequestError for a stage it does not have.
    """
    file = read_system_file(folder)
    there = [*file.stages, *(["prior_ar"] if file.prior_ar else [])]
    if absent := sorted(set(stages or ()).difference(there)):
        raise RequestError(f"{folder} has no stage {absent[0]!r}, only {', '.join(there)}")
    networks, sources = dict[str, Any](), dict[str, Source]()
    for name in ["clip", *(name for name in there if stages is None or name in stages)]:
        networks[name], sources[name] = _open_component(folder / name, name)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    return Opened(system_of(file.card, tokenizer, networks, file.stages, file.default_quality), sources)


def system_of(
    card: Card,
    tokenizer: Tokenizer,
    networks: Mapping[str, Any],
    stages: Mapping[str, StageConfig],
    default_quality: Quality = "best",
) -> System:
    """Put a system together of networks by the names of their folders."""
    found = {
        name: Stage(networks[name], Process(config.process), config.defaults, config.eps_moments)
        for name, config in stages.items()
        if name in networks
    }
    upsamplers = [stage for name, stage in found.items() if name.startswith("upsampler")]
    return System(
        card,
        tokenizer,
        networks["clip"],
        found.get("prior"),
        found.get("decoder"),
        tuple(sorted(upsamplers, key=lambda stage: stage.network.config.image_size)),
        found.get("distilled"),
        default_quality,
        networks.get("prior_ar"),
    )


def load_system(folder: Path, stages: Collection[str] | None = None) -> System:
    """Read a model folder, or only the named stages beside tokenizer and CLIP.

    Raises CheckpointError for a folder that is no whole model, RequestError for a stage it does not have.
    """
    opened = open_system(folder, stages)
    for name, network in named_networks(opened.system).items():
        source = opened.sources[name]
        load_strictly(network, source.read(list(source.shapes)), str(folder / name))
        network.requires_grad_(False)
    return opened.system


def fingerprint(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of a SHA-256 over a model folder's files.

    Of a file above 64 MiB only the size and 256 evenly spread blocks are read, or it would take a minute.
    """
    digest = hashlib.sha256()
    kinds = (".json", ".safetensors", ".bin")
    for path in sorted(path for path in folder.rglob("*") if path.suffix in kinds):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= WHOLE_FILE:
                digest.update(file.read())
                continue
            digest.update(f"{size}\0".encode())
            for k in range(256):
                file.seek(k * (size - BLOCK) // 255)
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]
