import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from unclip.diffusion.driver import drive, finish
from unclip.engine.messages import Called, Cancel, Done, FromEngine, NotReady, Ready, Run
from unclip.engine.process import Choice, EngineProcess, Gone
from unclip.images import to_pil
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System

PATIENCE = 60.0
SETTINGS: dict[str, Any] = {"prompt": "a red cube", "size": 64, "steps": 2, "prior_steps": 2, "seed": 3}


class Heard:
    """What a process says, in its order."""

    def __init__(self) -> None:
        self._messages = Queue[FromEngine | Gone]()
        self.threads = set[str]()

    def __call__(self, process: EngineProcess, message: FromEngine | Gone) -> None:
        del process
        self.threads.add(threading.current_thread().name)
        self._messages.put(message)

    def next(self, *kinds: type) -> Any:
        """The next message of these kinds."""
        end = time.monotonic() + PATIENCE
        while True:
            message = self._messages.get(timeout=max(0.0, end - time.monotonic()))
            if isinstance(message, kinds):
                return message

    def rest(self) -> list[FromEngine | Gone]:
        found = list[FromEngine | Gone]()
        try:
            while True:
                found.append(self._messages.get_nowait())
        except Empty:
            return found


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Choice], tuple[EngineProcess, Heard]]]:
    """Begin a process, which ends with the test."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    processes = list[EngineProcess]()

    def start(choice: Choice) -> tuple[EngineProcess, Heard]:
        heard = Heard()
        processes.append(EngineProcess(choice, heard))
        return processes[-1], heard

    yield start
    for process in processes:
        process.stop()


Start = Callable[[Choice], tuple[EngineProcess, Heard]]


def test_a_process_loads_a_model_draws_and_stops(started: Start, model_folder: Path, system: System) -> None:
    process, heard = started(Choice(model=str(model_folder), device="cpu"))
    about = heard.next(Ready, NotReady, Gone).about
    assert (about.name, about.sizes, about.device) == (system.card.name, system.sizes, "cpu")
    assert about.version.startswith("unclip ")
    assert len(about.hash) >= 12
    assert {"text_to_image", "variations", "edit", "outpaint", "text_diff", "mix"} <= set(about.tasks)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)  # Ctrl-C reaches all of a terminal's processes; the front decides

    process.send(Run("long", "text_to_image", {**SETTINGS, "size": 1024, "steps": 400}))
    process.send(Run("a", "text_to_image", SETTINGS, previews=True))
    assert heard.next(Called, Gone).stage == "prior"
    done = heard.next(Done, Gone)
    process.send(Cancel("long"))
    assert done.job == "a"
    (expected,) = to_pil(
        finish(
            drive(text_to_image(system, TextToImage("a red cube", size=64, steps=2, prior_steps=2, seed=3)))
        )
    )
    pixels = zip(done.pictures[0].data, expected.tobytes(), strict=True)
    assert max(abs(one - other) for one, other in pixels) <= 2
    assert done.requests[0]["seed"] == 3

    process.stop()
    rest = heard.rest()
    assert rest[-1] == Gone(0)
    assert not any(isinstance(message, Done) for message in rest)
    assert len(heard.threads) == 1
    assert threading.current_thread().name not in heard.threads
    process.send(Run("b", "text_to_image", SETTINGS))  # it is not there to hear, and that is no error
    process.stop()
    assert not heard.rest()


def test_a_process_that_is_killed_is_heard_to_be_gone(started: Start, model_folder: Path) -> None:
    process, heard = started(Choice(model=str(model_folder), device="cpu"))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    assert heard.next(Gone) == Gone(-signal.SIGKILL)
    process.send(Run("a", "text_to_image", SETTINGS))
    process.stop()
    assert not heard.rest()


def test_a_process_that_hangs_is_ended(
    started: Start, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unclip.engine.process.STOP_SECONDS", 0.05)
    process, heard = started(Choice(model=str(model_folder), device="cpu"))
    process.stop()  # while it imports
    assert heard.next(Gone) == Gone(-signal.SIGKILL)


def test_the_front_needs_no_torch() -> None:
    program = "import sys, unclip.server.run; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
