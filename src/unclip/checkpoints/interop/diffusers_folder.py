"""A diffusers unCLIP folder as it is: Karlo's, and every other of the same two pipelines.

Source: huggingface/diffusers 0.42.1, pipelines/deprecated/unclip.
"""

import math
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unclip.checkpoints.configs import read_json
from unclip.checkpoints.interop import diffusers_configs as configs
from unclip.checkpoints.interop import diffusers_keys as keys
from unclip.checkpoints.interop.clip_tokenizer import read_tokenizer
from unclip.checkpoints.interop.diffusers_configs import Fields
from unclip.checkpoints.interop.links import Link, imported
from unclip.checkpoints.interop.weights import open_weights
from unclip.checkpoints.store import Opened, build_empty, system_of
from unclip.checkpoints.tensors import Source, held, merged, shapes_of
from unclip.errors import CheckpointError, RequestError
from unclip.models.clip import ClipConfig
from unclip.system import Card, SamplingDefaults, StageConfig

INDEX = "model_index.json"
TEXT_TO_IMAGE, VARIATIONS = "UnCLIPPipeline", "UnCLIPImageVariationPipeline"

SCALE_OF_CLIP = math.log(100)
"""What CLIP ViT-L/14 was trained to multiply similarities by, as a logarithm; no folder holds it."""

DEFAULTS = {
    "prior": SamplingDefaults("ddpm", 25, guidance_scale=4.0),
    "decoder": SamplingDefaults("ddpm", 25, guidance_scale=8.0),
    "upsampler": SamplingDefaults("ddpm", 7),
}
"""How the two pipelines sample the stages unless they are asked otherwise."""

_UNUSED = ("embeddings.position_ids", "causal_attention_mask")  # ends of names


def is_diffusers(folder: Path) -> bool:
    """Tell whether a folder is laid out for a pipeline of diffusers."""
    return (folder / INDEX).is_file()


def open_diffusers(folder: Path, stages: Collection[str] | None = None) -> Opened:
    """Look into a folder of UnCLIPPipeline or UnCLIPImageVariationPipeline, or only into the named stages.

    Raises CheckpointError for a folder of another pipeline, one that lacks files, and networks unlike
    unCLIP's; RequestError for a stage that it does not have.
    """
    has_prior = _check_pipeline(folder) == TEXT_TO_IMAGE
    found = {"clip": open_clip(folder)}
    clip: ClipConfig = found["clip"][0].config
    text, decoding, first = (_fields(folder, name) for name in ("text_encoder", "decoder", "super_res_first"))
    decoder = configs.decoder_config(decoding, _fields(folder, "text_proj"), text, clip)
    upsampler = configs.upsampler_config(first, _fields(folder, "super_res_last"), decoder.image_size)
    enlarging = f"upsampler{upsampler.image_size}"
    there = {"decoder": "decoder_scheduler", enlarging: "super_res_scheduler"}
    there |= {"prior": "prior_scheduler"} if has_prior else {}
    if absent := sorted(set(stages or ()).difference(there)):
        raise RequestError(f"{folder} has no stage {absent[0]!r}, only {', '.join(there)}")
    wanted = [name for name in there if stages is None or name in stages]

    if "prior" in wanted:
        prior = configs.prior_config(_fields(folder, "prior"), text, clip)
        found["prior"] = _network(folder, "prior", prior, keys.prior_links, ("prior",))
    if "decoder" in wanted:
        found["decoder"] = _network(folder, "decoder", decoder, keys.decoder_links, ("decoder", "text_proj"))
    if enlarging in wanted:
        both = ("super_res_first", "super_res_last")
        found[enlarging] = _network(folder, enlarging, upsampler, keys.upsampler_links, both)
    networks = {name: network for name, (network, _) in found.items()}
    system = system_of(
        Card(folder.name, _licence(folder), ("not said in the folder",), ()),
        read_tokenizer(folder / "tokenizer", clip.context_length),
        networks,
        {name: _stage(folder, name, there[name]) for name in wanted},
    )
    return Opened(system, {name: source for name, (_, source) in found.items()})


def open_clip(folder: Path) -> tuple[Any, Source]:
    """Look into the CLIP of a pipeline, which has an image tower where there is an image_encoder.

    Raises CheckpointError for files that are missing or unlike CLIP's.
    """
    has_images = (folder / "image_encoder").is_dir()
    config = configs.clip_config(
        _fields(folder, "text_encoder"),
        _fields(folder, "image_encoder") if has_images else None,
        _fields(folder, "feature_extractor", "preprocessor_config.json") if has_images else None,
    )
    towers = ("text_encoder", "image_encoder") if has_images else ("text_encoder",)
    return _network(folder, "clip", config, keys.clip_links, towers)


def _check_pipeline(folder: Path) -> str:
    values = read_json(folder / INDEX)
    found = values.get("_class_name") if isinstance(values, dict) else None
    if found not in (TEXT_TO_IMAGE, VARIATIONS):
        raise CheckpointError(
            f"{folder / INDEX} is of pipeline {found}, and unclip reads {TEXT_TO_IMAGE} and {VARIATIONS}:"
            " give a folder of one of these, such as Karlo's"
        )
    parts = ["text_encoder", "tokenizer", "text_proj", "decoder", "super_res_first", "super_res_last"]
    parts += ["prior"] if found == TEXT_TO_IMAGE else ["image_encoder"]
    if missing := [part for part in parts if not (folder / part).is_dir()]:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}, which {found} has: it is half-downloaded, fetch it again"
        )
    return found


def _fields(folder: Path, component: str, name: str = "config.json") -> Fields:
    path = folder / component / name
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no fields")
    return Fields(str(path), values)


def _network(
    folder: Path,
    name: str,
    config: Any,
    links: Callable[[Any], list[Link]],
    parts: Collection[str],
) -> tuple[Any, Source]:
    network = build_empty(name, config)
    lying = [(f"{part}/", used(open_weights(folder / part))) for part in parts]
    if name == "clip":
        lying.append((keys.CONSTANT, held(str(folder), {"logit_scale": torch.tensor(SCALE_OF_CLIP)})))
    shapes = shapes_of(network.state_dict().items())
    return network, imported(merged(str(folder), lying), links(config), shapes)


def used(source: Source) -> Source:
    """Return what networks read of a file: without the tables that old versions wrote among the weights."""
    return replace(source, shapes={k: v for k, v in source.shapes.items() if not k.endswith(_UNUSED)})


def _stage(folder: Path, name: str, scheduler: str) -> StageConfig:
    process = configs.process_config(_fields(folder, scheduler, "scheduler_config.json"))
    return StageConfig(process, DEFAULTS["upsampler" if name.startswith("upsampler") else name])


def _licence(folder: Path) -> str:
    """Return what the model's page says of its licence, if the folder has the page."""
    page = folder / "README.md"
    if not page.is_file():
        return "not said in the folder"
    found = re.search(r"^license:\s*(\S+)\s*$", page.read_text(encoding="utf-8", errors="replace"), re.M)
    return found[1] if found else "see README.md"
