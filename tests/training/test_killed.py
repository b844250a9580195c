"""Crashes for real: SIGKILL at ever later moments, and checkpoints that the disk has spoilt."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip.training.begin import Order, begin

Make = Callable[..., Order]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_a_run_killed_again_and_again_equals_an_uninterrupted_one(
    order: Make, contents: Contents, clip_run: Path, tmp_path: Path
) -> None:
    straight = order("prior", "straight", log_steps=1, checkpoint_minutes=0.0)
    list(begin(straight).train())
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), str(clip_run)]
    done = subprocess.run([*program, str(tmp_path / "killed")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    assert not list((tmp_path / "killed").rglob("*.tmp"))
    killed = contents(tmp_path / "killed")
    for name, data in contents(straight.run).items():
        assert killed[name] == data, name


def test_a_torn_checkpoint_is_named_and_the_one_before_resumed(order: Make, contents: Contents) -> None:
    def make(run: str) -> Any:
        return order("upsampler256", run, batch_size=4, images=16, log_steps=1, checkpoint_minutes=0.0)

    torn, straight = make("torn"), make("straight")
    reports = begin(torn).train()
    for _ in range(4):
        next(reports)
    reports.close()
    newest = torn.run / "step-3" / "optimizer.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1000])
    warnings = list[str]()
    list(begin(torn, warn=warnings.append).train())
    list(begin(straight).train())
    assert len(warnings) == 1
    assert "step-3 is torn: optimizer.safetensors differs" in warnings[0]
    assert contents(torn.run) == contents(straight.run)
