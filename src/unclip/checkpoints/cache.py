"""Models in the Hugging Face cache, whoever brought them: found, checked, recorded, removed; all offline."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unclip.checkpoints.needed import INDEXES, is_model, lacking, needed, without_weights
from unclip.checkpoints.pulled import (
    Pulled,
    PulledFile,
    Say,
    counter,
    hash_of,
    name_of,
    pull_command,
    read_pulled,
    some,
    write_pulled,
)
from unclip.errors import CheckpointError, RequestError

UNKNOWN = "unknown"  # the licence of a model whose card names none, or is not at hand
# A commit, or a small file's git blob id; a large file's SHA-256.
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class OfferedFile:
    """A file of a model that can be had."""

    size: int
    hash: str | None  # see HASH; None where nobody tells


@dataclass(frozen=True)
class Offer:
    """A model that can be had: from the hub, or from the cache."""

    repository: str
    revision: str | None  # as it was asked for
    commit: str
    licence: str
    page: str  # where to read it
    folder: Path  # of the cache, where it is or will be
    files: Mapping[str, OfferedFile]

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files.values())

    @property
    def size_here(self) -> int:
        """Of the files that are in the cache, perhaps as those of another commit, in bytes."""
        here = (name for name in self.files if (self.folder / name).exists() or self.blob(name).exists())
        return sum(self.files[name].size for name in here)

    @property
    def remedy(self) -> str:
        """The command that pulls it."""
        return pull_command(self.repository, self.revision)

    def blob(self, name: str) -> Path:
        """Return where the cache has a file's content, to which the folder links."""
        return self.folder.parents[1] / "blobs" / str(self.files[name].hash)


def library() -> Any:
    """Return huggingface_hub, told not to warn: what matters comes as an error. Raises RequestError."""
    try:
        import huggingface_hub
        from huggingface_hub.utils import logging
    except ImportError:
        raise RequestError("this needs huggingface_hub: pip install 'unclip[hub]'") from None
    if int(huggingface_hub.__version__.partition(".")[0]) < 1:
        found = f"huggingface_hub is {huggingface_hub.__version__}, expected 1.0 or newer"
        raise RequestError(f"{found}: pip install 'unclip[hub]'")
    logging.set_verbosity_error()
    return huggingface_hub


def is_offline() -> bool:
    """Say whether HF_HUB_OFFLINE forbids the network. Raises RequestError without huggingface_hub."""
    return library().constants.HF_HUB_OFFLINE


def cached(repository: str, revision: str | None) -> Offer:
    """Find a model that unclip or another program downloaded before.

    Raises RequestError if it is not here, CheckpointError if it is not whole.
    """
    known = read_pulled(repository)
    if known and revision in (None, known.revision, known.commit) and Path(known.folder).is_dir():
        folder, names, absent = Path(known.folder), list(known.files), known.missing
        hashes = {name: file.sha256 for name, file in known.files.items()}
    else:
        folder = _snapshot(repository, revision)
        there = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        names, absent = needed(there), lacking(folder, there)
        hashes = {name: _hash_in_cache(folder / name) for name in names}
    if absent:
        remedy = pull_command(repository, revision)
        raise CheckpointError(f"{name_of(repository)} lacks {some(absent)} in {folder}: run {remedy} online")
    files = {name: OfferedFile((folder / name).stat().st_size, hashes[name]) for name in names}
    return Offer(repository, revision, folder.name, *_read_licence(repository, folder), folder, files)


def adopt(offer: Offer, say: Say) -> Path:
    """Check every file of a model that is here, record it, and return its folder. Raises CheckpointError."""
    tell = counter(say, "check", offer.size)
    sums = {name: digest for name in offer.files if (digest := _sound(offer, name, tell))}
    if changed := sorted(offer.files.keys() - sums):
        name = name_of(offer.repository)
        raise CheckpointError(
            f"{name} has changed {some(changed)} in {offer.folder}: run {offer.remedy} online"
        )
    return record(offer, sums, checked=True)


def remove(pulled: Pulled) -> int:
    """Delete a model from the cache, and return how many bytes that freed. Raises CheckpointError."""
    from huggingface_hub.errors import CacheNotFound

    folder = Path(pulled.folder)
    storage = folder.parents[1]
    try:
        freed = _remove_parts(storage, pulled)
        cache = library().scan_cache_dir(storage.parent)
        # Of this repository alone: copies of a repository have the same commits.
        cache = replace(cache, repos=frozenset(repo for repo in cache.repos if repo.repo_path == storage))
        strategy = cache.delete_revisions(pulled.commit)
        strategy.execute()
    except CacheNotFound:
        return 0
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be deleted: {error.strerror}") from None
    if folder.exists():
        raise CheckpointError(f"{folder} cannot be deleted: see who may write there")
    return freed + strategy.expected_freed_size


def check(offer: Offer, name: str, tell: Callable[[int], None]) -> str | None:
    """Return a file's SHA-256; if it is not the one that is offered, remove it and return None.

    What it links to goes with it, so that it is not taken for whole again.
    """
    if digest := _sound(offer, name, tell):
        return digest
    path = offer.folder / name
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)
    return None


def record(offer: Offer, sums: Mapping[str, str | None], checked: bool) -> Path:
    """Record a model with the SHA-256 of its files, and return its folder. Raises CheckpointError."""
    files = {name: PulledFile(file.size, sums.get(name)) for name, file in offer.files.items()}
    about = (offer.repository, offer.revision, offer.commit, offer.licence, str(offer.folder))
    write_pulled(Pulled(*about, files, checked))
    return offer.folder


def storage_of(repository: str) -> Path:
    """Return the folder of the cache in which a repository's files are."""
    cache = Path(library().constants.HF_HUB_CACHE).expanduser().resolve()
    return cache / f"models--{repository.replace('/', '--')}"


def licence_of(repository: str, card: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a model's card calls its licence, and the page to read it on."""
    named = card.get("license_name") or card.get("license") or UNKNOWN
    link = str(card.get("license_link"))
    page = link if link.startswith("https://") else f"{library().constants.ENDPOINT}/{repository}"
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named), page


def refuse_what_is_no_model(repository: str, names: Collection[str]) -> None:
    """Raise RequestError if a repository of these files is none that unclip could read."""
    if not is_model(names):
        raise RequestError(f"{repository} is no model for unclip: it has neither {' nor '.join(INDEXES)}")
    if bare := without_weights(names):
        raise RequestError(f"{repository} has no weights as .safetensors or .bin in {some(bare)}")


def _remove_parts(storage: Path, pulled: Pulled) -> int:
    """Delete what came of downloads that broke off, and return how many bytes that freed."""
    parts = [storage / "blobs" / f"{file.sha256}.incomplete" for file in pulled.files.values()]
    parts = [part for part in parts if part.exists()]
    freed = sum(part.stat().st_size for part in parts)
    for part in parts:
        part.unlink()
    return freed


def _snapshot(repository: str, revision: str | None) -> Path:
    hub = library()
    for index in INDEXES:
        found = hub.try_to_load_from_cache(repository, index, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    asked = name_of(repository) + (f" at {revision}" if revision else "")
    remedy = pull_command(repository, revision)
    raise RequestError(f"{asked} is not in {hub.constants.HF_HUB_CACHE}: run {remedy} online")


def _read_licence(repository: str, folder: Path) -> tuple[str, str]:
    card = dict[str, Any]()
    with suppress(Exception):  # no card, or none that can be read, names no licence
        card = library().metadata_load(folder / "README.md") or {}
    return licence_of(repository, card)


def _hash_in_cache(path: Path) -> str | None:
    """Return the hash by which the cache calls a file, where there are links that tell."""
    name = path.readlink().name if path.is_symlink() else ""
    return name if HASH.fullmatch(name) else None


def _sound(offer: Offer, name: str, tell: Callable[[int], None]) -> str | None:
    """Return a file's SHA-256 if it has the size and hash that are offered."""
    file, path = offer.files[name], offer.folder / name
    digest = hash_of(path, tell)
    if digest is None or path.stat().st_size != file.size:
        return None
    if file.hash is None or file.hash == (digest if len(file.hash) == len(digest) else _git_blob_id(path)):
        return digest
    return None


def _git_blob_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
