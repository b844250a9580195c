"""Run folders: checkpoints that are whole or absent, and metrics that agree with them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from unclip.checkpoints.configs import write_json
from unclip.checkpoints.tensors import read_tensors, write_tensors
from unclip.errors import CheckpointError, DataError

MANIFEST = "manifest.json"
KEPT = 2  # checkpoints


def save_checkpoint(run: Path, step: int, files: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write `step-N/` with one safetensors file per entry, then drop all but the newest two.

    The folder appears in one rename after everything in it is on disk, so a crash leaves it whole or absent.
    Raises DataError if the disk is full or not writable; what was there stays.
    """
    unfinished, final = run / f"step-{step}.tmp", run / f"step-{step}"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, tensors in files.items():
            write_tensors(unfinished / f"{name}.safetensors", tensors)
        manifest = {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in sorted(unfinished.iterdir())}
        write_json(unfinished / MANIFEST, {"step": step, "files": manifest})
        for path in [*unfinished.iterdir(), unfinished]:
            flush(path)
        shutil.rmtree(final, ignore_errors=True)
        unfinished.rename(final)
        flush(run)
    except Exception as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise DataError(f"checkpoint {final} could not be written ({error}); free space and resume") from error
    for old in steps(run)[:-KEPT]:
        shutil.rmtree(run / f"step-{old}")


def flush(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def steps(run: Path) -> list[int]:
    """Return the steps of all checkpoints of a run, rising, torn ones included."""
    names = (path.name.removeprefix("step-") for path in run.glob("step-*"))
    return sorted(int(name) for name in names if name.isdigit())


def verify(checkpoint: Path) -> None:
    """Raise CheckpointError naming the checkpoint and its first file that differs from the manifest."""
    try:
        files: dict[str, dict[str, Any]] = json.loads((checkpoint / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} has no readable manifest ({error})") from None
    for name, expected in files.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
            raise CheckpointError(f"checkpoint {checkpoint} is torn: {name} differs from its manifest")


def newest_checkpoint(run: Path, warn: Callable[[str], None]) -> Path | None:
    """Return the newest valid checkpoint; torn ones are named to `warn` and passed over."""
    for step in reversed(steps(run)):
        checkpoint = run / f"step-{step}"
        try:
            verify(checkpoint)
        except CheckpointError as error:
            warn(f"{error}; using the one before")
        else:
            return checkpoint
    return None


def load_checkpoint(checkpoint: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of every file of a checkpoint."""
    return {path.stem: read_tensors(path) for path in sorted(checkpoint.glob("*.safetensors"))}


class Log:
    """A JSON-lines file keyed by step, cut back to the checkpoint on resume."""

    def __init__(self, path: Path, resume_step: int):
        self.path = path
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= resume_step]
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.write_text("".join(f"{line}\n" for line in kept))
        temporary.replace(path)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a log; a crash may have left the last one unfinished."""
    if not path.exists():
        return []
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
