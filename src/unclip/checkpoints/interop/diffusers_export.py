"""A model as a diffusers unCLIP folder, whose components diffusers and transformers load and run alike.

Source: huggingface/diffusers 0.42.1, pipelines/deprecated/unclip, and the folders of Karlo.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from unclip.checkpoints.configs import write_json
from unclip.checkpoints.folders import Say, check_free, new_folder
from unclip.checkpoints.interop import diffusers_keys as keys
from unclip.checkpoints.interop.diffusers_card import page
from unclip.checkpoints.interop.diffusers_fields import CLASSES, DIFFUSERS, config_files
from unclip.checkpoints.interop.diffusers_folder import INDEX, TEXT_TO_IMAGE, VARIATIONS
from unclip.checkpoints.interop.diffusers_limits import obstacles
from unclip.checkpoints.interop.links import Link, exported
from unclip.checkpoints.interop.tokenizer_files import write_tokenizer
from unclip.checkpoints.interop.weights import OF_DIFFUSERS, OF_TRANSFORMERS
from unclip.checkpoints.store import Opened, build_empty, named_networks
from unclip.checkpoints.tensors import Source
from unclip.diffusion.process import Process
from unclip.errors import CheckpointError
from unclip.models.decoder import Decoder
from unclip.system import Stage, System

IMAGE_PARTS = ("image_encoder", "feature_extractor")

Changes = Mapping[str, Callable[[Tensor], Tensor]]


def export_diffusers(opened: Opened, out: Path, say: Say = lambda part, done, of: None) -> list[str]:
    """Write a model for diffusers, its weights in float32: whole or not at all, one component at a time.

    Returns the networks that diffusers has no place for. Raises RequestError if something is in the place of
    the folder, CheckpointError with all the reasons if diffusers cannot hold the model, and if weights are
    torn or the folder cannot be written.
    """
    check_free(out)
    card, used = opened.system.card, opened.system.upsamplers[:1]
    if reasons := obstacles(opened.system):
        raise CheckpointError(
            f"{card.name} is not a model that diffusers can hold: {'; '.join(reasons)}: keep it as it is, or"
            " train one of Karlo's structure (presets.karlo)"
        )
    with new_folder(out) as folder:
        _write(replace(opened, system=replace(opened.system, upsamplers=used)), folder, say)
    left = replace(opened.system, prior=None, decoder=None, upsamplers=opened.system.upsamplers[1:])
    return [name for name in named_networks(left) if name != "clip"]


def _write(opened: Opened, folder: Path, say: Say) -> None:
    tokenizer = write_tokenizer(folder / "tokenizer", opened.system.tokenizer)
    opened = _with_rows_exchanged(_with_learned_range(opened), tokenizer.exchanged)
    system = opened.system
    files = config_files(system, tokenizer.ids)
    for file, values in files.items():
        (folder / file).parent.mkdir()
        write_json(folder / file, values)
    for network, links in _links(system).items():
        for component, own in _by_component(links).items():
            say(component, 0, len(own))
            _write_weights(folder / component, opened.sources[network], own)
            say(component, len(own), len(own))

    pipeline = TEXT_TO_IMAGE if system.prior else VARIATIONS
    parts = {"tokenizer": ("transformers", tokenizer.class_name)}
    parts |= {part: CLASSES[part] for part in (file.partition("/")[0] for file in files)}
    if system.prior:  # the pipeline of sentences does not know them, and unclip finds them all the same
        parts = {part: where for part, where in parts.items() if part not in IMAGE_PARTS}
    (folder / "README.md").write_text(page(system, pipeline, parts), encoding="utf-8")
    write_json(folder / INDEX, {"_class_name": pipeline, "_diffusers_version": DIFFUSERS, **parts})


def _links(system: System) -> dict[str, list[Link]]:
    """Return what connects each of our networks with those of diffusers."""
    assert system.decoder is not None
    upsampler = system.upsamplers[0].network.config
    return {
        "clip": keys.clip_links(system.clip.config),
        **({"prior": keys.prior_links(system.prior.network.config)} if system.prior else {}),
        "decoder": keys.decoder_links(system.decoder.network.config),
        f"upsampler{upsampler.image_size}": keys.upsampler_links(upsampler),
    }


def _by_component(links: Iterable[Link]) -> dict[str, list[Link]]:
    found = dict[str, list[Link]]()
    for link in links:
        if not link.theirs[0].startswith(keys.CONSTANT):
            found.setdefault(link.theirs[0].partition("/")[0], []).append(link)
    return found


def _write_weights(folder: Path, source: Source, links: Sequence[Link]) -> None:
    read = source.read([link.ours for link in links])
    theirs = exported({name: tensor.float() for name, tensor in read.items()}, links)
    tensors = {name.partition("/")[2]: tensor.contiguous() for name, tensor in theirs.items()}
    library, _ = CLASSES[folder.name]
    file = folder / (OF_TRANSFORMERS if library == "transformers" else OF_DIFFUSERS)
    # Old versions of transformers read no file that does not say whose it is.
    save_file(tensors, file, metadata={"format": "pt"})


def _with_rows_exchanged(opened: Opened, ids: tuple[int, int] | None) -> Opened:
    """Exchange the embeddings of two tokens, as their ids were."""
    if ids is None:
        return opened

    def exchanged(rows: Tensor) -> Tensor:
        rows = rows.clone()
        rows[list(ids)] = rows[list(reversed(ids))]
        return rows

    return _changed(opened, "clip", {"text.tokens.weight": exchanged})


def _with_learned_range(opened: Opened) -> Opened:
    """Let a decoder of fixed variance predict its variance: always the low end of the range, which is that.

    The pipelines guide no decoder that predicts nothing but the picture.
    """
    stage = opened.system.decoder
    assert stage is not None
    if stage.process.config.variance == "learned_range":
        return opened
    config, unet = stage.network.config, stage.network.config.unet
    network: Decoder = build_empty(
        "decoder", replace(config, unet=replace(unet, out_channels=2 * unet.out_channels))
    )
    process = Process(replace(stage.process.config, variance="learned_range"))
    told = Stage(network, process, stage.defaults)
    changes: Changes = {
        "unet.conv_out.weight": lambda weight: torch.cat([weight, torch.zeros_like(weight)]),
        "unet.conv_out.bias": lambda bias: torch.cat([bias, -torch.ones_like(bias)]),
    }
    return _changed(replace(opened, system=replace(opened.system, decoder=told)), "decoder", changes)


def _changed(opened: Opened, network: str, changes: Changes) -> Opened:
    """Change tensors of a network as they are read."""
    source = opened.sources[network]
    empty = {name: torch.empty(source.shapes[name], device="meta") for name in changes}
    shapes = {**source.shapes, **{name: tuple(changes[name](tensor).shape) for name, tensor in empty.items()}}

    def read(names: Iterable[str]) -> dict[str, Tensor]:
        found = source.read(list(names))
        return found | {name: changes[name](found[name]) for name in changes if name in found}

    return replace(opened, sources={**opened.sources, network: Source(source.where, shapes, read)})
