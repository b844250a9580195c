"""Run folders: checkpoints that are whole or absent, and metrics that agree with them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from unclip.checkpoints.configs import write_json
from unclip.checkpoints.tensors import read_tensors, write_tensors
from unclip.errors import CheckpointError, DataError

MANIFEST = "manifest.json"
KEPT = 2  # checkpoints


@contextmanager
def writing(path: Path) -> Generator[None, None, None]:
    """Turn a failure to write a file or folder into a DataError that names it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} could not be written ({error}); free space and resume") from error


def save_checkpoint(run: Path, step: int, files: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write `step-N/` with one safetensors file per entry, then drop all but it and the one before.

    The folder appears in one rename after everything in it is on disk, so a crash leaves it whole or absent.
    Raises DataError if the disk is full or not writable; what was there stays.
    """
    unfinished, final = run / f"step-{step}.tmp", run / f"step-{step}"
    for left in run.glob("step-*.tmp"):  # by a crash
        shutil.rmtree(left)
    try:
        with writing(final):
            _write(unfinished, step, files)
            shutil.rmtree(final, ignore_errors=True)
            unfinished.rename(final)
            flush(run)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    kept = [before for before in steps(run) if before <= step][-KEPT:]
    for other in set(steps(run)).difference(
        kept
    ):  # those beyond `step` were torn, or it would not be drawn again
        shutil.rmtree(run / f"step-{other}")


def _write(folder: Path, step: int, files: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write files and manifest, and wait until they are on disk."""
    folder.mkdir(parents=True)
    for name, tensors in files.items():
        write_tensors(folder / f"{name}.safetensors", tensors)
    written = sorted(folder.iterdir())
    manifest = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in written}
    write_json(folder / MANIFEST, {"step": step, "files": manifest})
    for path in [*folder.iterdir(), folder]:
        flush(path)


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
        whole = path.is_file() and path.stat().st_size == expected["bytes"]
        if not whole or sha256(path) != expected["sha256"]:
            raise CheckpointError(f"checkpoint {checkpoint} is torn: {name} differs from its manifest")


def newest_checkpoint(run: Path, warn: Callable[[str], None]) -> Path | None:
    """Return the newest valid checkpoint; torn ones are named to `warn` and passed over."""
    for step in reversed(steps(run)):
        checkpoint = run / f"step-{step}"
        try:
            verify(checkpoint)
        except CheckpointError as error:
            warn(f"{error}; it is passed over")
        else:
            return checkpoint
    return None


def load_checkpoint(checkpoint: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of every file of a checkpoint."""
    return {path.stem: read_tensors(path) for path in sorted(checkpoint.glob("*.safetensors"))}


@contextmanager
def replacing(path: Path) -> Generator[Path, None, None]:
    """Yield where to write a file, so that a crash leaves `path` as it was or whole.

    Raises DataError if the disk is full or not writable.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        with writing(path):
            yield unfinished
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class Log:
    """A JSON-lines file keyed by step, cut back to the checkpoint on resume.

    Raises DataError if the disk is full or not writable.
    """

    def __init__(self, path: Path, resume_step: int):
        self.path = path
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= resume_step]
        with replacing(path) as unfinished:
            unfinished.write_text("".join(f"{line}\n" for line in kept))

    def write(self, step: int, values: Mapping[str, int | float]) -> None:
        """Append one line."""
        with writing(self.path), self.path.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


def last_metrics(run: Path) -> dict[str, float]:
    """Return the last line of a run's metrics, but step, rate and gradient; {} if there is none."""
    lines = _lines(run / "metrics.jsonl")
    values = json.loads(lines[-1]) if lines else {}
    unsaid = ("step", "gradient_norm", "rate")
    return {name: float(value) for name, value in values.items() if name not in unsaid}


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a log; a crash may have left the last one unfinished."""
    if not path.exists():
        return []
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
