"""The files of the original Karlo v1.0 alpha, as its authors published them beside their code.

Source: kakaobrain/karlo at 3c68a50, sampler/template.py and models/.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from unclip.checkpoints.interop import karlo_keys as keys
from unclip.checkpoints.interop.clip_folder import is_clip, open_clip_folder
from unclip.checkpoints.interop.links import Link, imported
from unclip.checkpoints.interop.pickles import open_pickle, read_pickle
from unclip.checkpoints.store import Opened, build_empty, system_of
from unclip.checkpoints.tensors import Source, held, merged, open_tensors, shapes_of
from unclip.diffusion.process import ProcessConfig
from unclip.errors import CheckpointError, RequestError
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.system import Card, SamplingDefaults, StageConfig

CARD = Card(
    "Karlo v1.0 alpha",
    "CreativeML OpenRAIL-M",
    ("115 million pictures with captions, of COYO-100M, CC3M and CC12M",),
    (),
)

STAGES = {
    "prior": StageConfig(ProcessConfig(x0_limit=10.0), SamplingDefaults("ddpm", 25, guidance_scale=4.0)),
    "decoder": StageConfig(
        ProcessConfig(prediction="eps", variance="learned_range"),
        SamplingDefaults("ddpm", 50, guidance_scale=8.0),
    ),
    "upsampler": StageConfig(ProcessConfig(prediction="eps"), SamplingDefaults("ddpm", 7)),
}
"""How the original samples by default.

diffusers' conversion clamps the prior's x0 to 5 rather than 10, draws the decoder in 25 steps (the original
calls that fast), and rounds the schedule to float32.
"""

GIVEN = {
    "prior": "prior-ckpt-step=01000000-of-01000000.ckpt",
    "decoder": "decoder-ckpt-step=01000000-of-01000000.ckpt",
    "upsampler": "improved-sr-ckpt-step=1.2M.ckpt",
    "statistics": "ViT-L-14_stats.th",
    "CLIP": "the folder of openai/clip-vit-large-patch14",
}
"""What a model is made of, and what there is of each to give."""

_MARKS = {"model.transformer.": "prior", "model.input_blocks.": "decoder", "model_first_steps.": "upsampler"}
"""Begins of the names of tensors that only one of the networks has."""

_ARCHIVE = "TorchScript"
_SUFFIXES = (".ckpt", ".th", ".pt", ".safetensors")  # of the files that are looked into in a folder
_PICKLES = (b"PK", b"\x80\x02")  # how files of PyTorch begin


@dataclass(frozen=True)
class KarloFiles:
    """Where each part of one model lies."""

    prior: Path
    decoder: Path
    upsampler: Path
    statistics: Path
    clip: Path  # a folder


def find_karlo(sources: Sequence[Path]) -> KarloFiles:
    """Tell which part each file is by what is in it; of folders, the files at their top and CLIP.

    Raises RequestError for parts that are missing or there twice and files that are none of them,
    CheckpointError for files that cannot be read or ask for code to be run.
    """
    found, given = _told_apart(sources), _listed(map(str, sources))
    if _ARCHIVE in found and "CLIP" not in found:
        raise CheckpointError(
            f"{found[_ARCHIVE]} is a TorchScript archive, which is code to run and is not opened: give"
            f" {GIVEN['CLIP']} in its place"
        )
    if not found:
        raise RequestError(
            f"nothing to import in {given}: give a folder with model_index.json, or the files of Karlo,"
            f" {_listed(GIVEN.values())}"
        )
    if missing := [part for part in GIVEN if part not in found]:
        remedy = _listed(GIVEN[part] for part in missing)
        raise RequestError(f"no {_listed(missing, 'or')} among {given}: give {remedy}")
    return KarloFiles(*(found[part] for part in GIVEN))


def _told_apart(sources: Sequence[Path]) -> dict[str, Path]:
    found = dict[str, Path]()
    for path in {path.absolute(): path for source in sources for path in _candidates(source)}.values():
        part = _part(path)
        if part is None and path in sources:
            raise RequestError(f"{path} is no part of Karlo: give {_listed(GIVEN.values())}")
        if part in found:
            raise RequestError(f"{found[part]} and {path} are two of one part, {part}: give one of them")
        if part is not None:
            found[part] = path
    return found


def open_karlo(
    files: KarloFiles, prior: PriorConfig, decoder: DecoderConfig, upsampler: UpsamplerConfig
) -> Opened:
    """Look into the files of a model of these shapes; it samples as the original does (see `STAGES`).

    Sentences are cut into tokens as CLIP's folder says. Raises CheckpointError for networks of other shapes,
    and for a CLIP that they do not stand on.
    """
    enlarging = f"upsampler{upsampler.image_size}"
    clip, clip_source, tokenizer = open_clip_folder(files.clip)
    _check_clip(files.clip, clip.config, prior, decoder)
    statistics = held(str(files.statistics), _statistics(read_pickle(files.statistics)) or {})
    lying = merged(
        f"{files.prior} and {files.statistics}", [("", _open(files.prior)), (keys.STATISTICS, statistics)]
    )
    found = {
        "clip": (clip, clip_source),
        "prior": _network("prior", prior, lying, keys.prior_links),
        "decoder": _network("decoder", decoder, _open(files.decoder), keys.decoder_links),
        enlarging: _network(enlarging, upsampler, _open(files.upsampler), keys.upsampler_links),
    }
    stages = {"prior": STAGES["prior"], "decoder": STAGES["decoder"], enlarging: STAGES["upsampler"]}
    system = system_of(CARD, tokenizer, {name: network for name, (network, _) in found.items()}, stages)
    return Opened(system, {name: source for name, (_, source) in found.items()})


def _candidates(source: Path) -> Iterator[Path]:
    if not source.exists():
        raise RequestError(f"there is no file or folder at {source}")
    if source.is_file():
        yield source
        return
    if (source / "system.json").is_file():
        raise RequestError(f"{source} is a model of unclip's own format already: use it as it is")
    if is_clip(source):
        yield source
    yield from sorted(path for path in source.iterdir() if path.is_file() and path.suffix in _SUFFIXES)


def _part(path: Path) -> str | None:
    """Return what a file is of Karlo, or None for nothing."""
    if path.is_dir():
        return "CLIP"
    if path.suffix == ".safetensors":
        return _of_names(open_tensors(path).shapes)
    if (begin := _begin(path)) and begin not in _PICKLES:
        return None
    if _is_archive(path):
        return _ARCHIVE
    values = read_pickle(path)
    if _statistics(values) is not None:
        return "statistics"
    tensors = values.get("state_dict", values) if isinstance(values, Mapping) else ()
    return _of_names(map(str, tensors)) if isinstance(tensors, Mapping) else None


def _begin(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _of_names(names: Iterable[str]) -> str | None:
    return next((part for name in names for mark, part in _MARKS.items() if name.startswith(mark)), None)


def _is_archive(path: Path) -> bool:
    """Tell a TorchScript archive by its table of constants, as torch.load does."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _statistics(values: Any) -> dict[str, Tensor] | None:
    """Return the mean and the deviation of CLIP's image embeddings, if that is what was read."""
    if not isinstance(values, tuple | list) or len(values) != 2:
        return None
    if not all(isinstance(value, Tensor) and value.ndim == 1 for value in values):
        return None
    return {"mean": values[0], "std": values[1]}


def _open(path: Path) -> Source:
    return open_tensors(path) if path.suffix == ".safetensors" else open_pickle(path)


def _network(
    name: str, config: Any, source: Source, links: Callable[[Any], list[Link]]
) -> tuple[Any, Source]:
    network = build_empty(name, config)
    return network, imported(source, links(config), shapes_of(network.state_dict().items()))


def _check_clip(folder: Path, clip: Any, prior: PriorConfig, decoder: DecoderConfig) -> None:
    found = (clip.embed_dim, clip.text_width, clip.context_length)
    asked = (prior.embed_dim, prior.text_width, prior.context_length)
    if found != asked or found[:2] != (decoder.embed_dim, decoder.text_width):
        raise CheckpointError(
            f"{folder} is a CLIP whose embeddings, token states and sentences are of size"
            f" {_listed(map(str, found))}, and Karlo's is of {_listed(map(str, asked))}: give {GIVEN['CLIP']}"
        )


def _listed(names: Iterable[str], last: str = "and") -> str:
    *first, end = names
    return f"{', '.join(first)} {last} {end}" if first else end
