import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unclip.errors import CheckpointError, DataError
from unclip.training import state
from unclip.training.state import Log, load_checkpoint, newest_checkpoint, replacing, save_checkpoint, verify

FILES = {"weights": {"w": torch.arange(6.0).view(2, 3)}, "optimizer": {"w/step": torch.tensor(3.0)}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuse(warning: str) -> None:
    raise AssertionError(warning)


def test_a_checkpoint_holds_what_was_saved(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, FILES)
    checkpoint = newest_checkpoint(tmp_path, refuse)
    assert checkpoint == tmp_path / "step-5"
    assert names(checkpoint) == ["manifest.json", "optimizer.safetensors", "weights.safetensors"]
    loaded = load_checkpoint(checkpoint)
    assert loaded.keys() == FILES.keys()
    assert torch.equal(loaded["weights"]["w"], FILES["weights"]["w"])


def test_the_newest_by_number_and_the_one_before_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10):
        save_checkpoint(tmp_path, step, FILES)
    assert names(tmp_path) == ["step-10", "step-9"]
    assert newest_checkpoint(tmp_path, refuse) == tmp_path / "step-10"


def test_no_run_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none", refuse) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "torn: weights.safetensors differs"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "torn: weights.safetensors differs"),
        (lambda path: path.unlink(), "torn: weights.safetensors differs"),
        (lambda path: (path.parent / "manifest.json").write_text("{"), "no readable manifest"),
        (lambda path: (path.parent / "manifest.json").unlink(), "no readable manifest"),
    ],
)
def test_a_spoilt_checkpoint_is_named_and_passed_over(
    tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, FILES)
    spoil(tmp_path / "step-2" / "weights.safetensors")
    with pytest.raises(CheckpointError, match=message):
        verify(tmp_path / "step-2")
    warnings = list[str]()
    assert newest_checkpoint(tmp_path, warnings.append) == tmp_path / "step-1"
    assert [str(tmp_path / "step-2") in warning and message in warning for warning in warnings] == [True]


def test_saving_drops_the_torn_ones_beyond_and_what_a_crash_left(tmp_path: Path) -> None:
    for step in (1, 4, 5):
        (tmp_path / f"step-{step}").mkdir()
    (tmp_path / "step-7.tmp").mkdir()
    for step in (2, 3):
        save_checkpoint(tmp_path, step, FILES)
    assert names(tmp_path) == ["step-2", "step-3"]


@pytest.mark.parametrize("part", ["write_tensors", "write_json", "sha256", "flush"])
def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    save_checkpoint(tmp_path, 1, FILES)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state, part, full)
    with pytest.raises(
        DataError, match=r"step-2 could not be written .*No space left.* free space"
    ) as caught:
        save_checkpoint(tmp_path, 2, FILES)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert names(tmp_path) == ["step-1"]
    verify(tmp_path / "step-1")


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_file_that_the_system_refuses_is_a_data_error(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DataError, match="step-1 could not be written"):
            save_checkpoint(tmp_path, 1, {"weights": {"w": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_a_log_is_cut_back_to_the_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = Log(path, 0)
    for step in (2, 4, 6):
        log.write(step, {"loss": step / 7})
    with path.open("a") as file:
        file.write('{"step": 8, "lo')  # a crash
    Log(path, 4).write(6, {"loss": 0.5})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 2, "loss": 2 / 7}, {"step": 4, "loss": 4 / 7}, {"step": 6, "loss": 0.5}]


def test_a_log_on_a_full_disk_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "metrics.jsonl", 0)
    log.write(1, {"loss": 0.5})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match=r"metrics\.jsonl could not be written"):
        log.write(2, {"loss": 0.5})


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def fill_up() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="file could not be written"):
        fill_up()
    assert (names(tmp_path), path.read_text()) == (["file"], "before")
    with replacing(path) as unfinished:
        unfinished.write_text("after")
    assert (names(tmp_path), path.read_text()) == (["file"], "after")
