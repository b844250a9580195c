"""A process that draws, in name only: a thread that answers at once with flat colours, or as a test says."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, ClassVar, Literal

import pytest
from PIL import Image

from unclip.engine.messages import (
    About,
    Called,
    Done,
    Failed,
    FromEngine,
    NotReady,
    Pixels,
    Ready,
    Run,
    Stepped,
    Stop,
    ToEngine,
)
from unclip.engine.process import Choice, EngineProcess, Gone

TASKS = ("text_to_image", "variations", "edit", "outpaint", "text_diff", "interpolation", "mix")
ABOUT = About("Stub 1", "0123456789abcdef", "unclip 0.1.0", "cpu", (64, 256), TASKS)
PATIENCE = 30.0  # seconds that a test waits for what never comes

Act = Callable[["StubEngine", Run], None]


def colour_of(seed: int) -> tuple[int, int, int]:
    """The colour of a picture, which tells its seed."""
    return (seed * 37 % 256, seed * 59 % 256, seed * 83 % 256)


def count_of(run: Run) -> int:
    """How many pictures a job makes."""
    name = "steps" if run.task in ("text_diff", "interpolation") else "n"
    return run.settings.get(name) or 1


class StubEngine(EngineProcess):
    """Takes the place of an EngineProcess; `engines`, of a subclass, says what it does."""

    engines: ClassVar["Engines"]
    _pids = itertools.count(1_000_001)

    def __init__(self, choice: Choice, hear: Callable[[EngineProcess, FromEngine | Gone], None]) -> None:
        self.choice = choice
        self.told = list[ToEngine]()
        self._hear = hear
        self._pid = next(self._pids)
        self._inbox = SimpleQueue[ToEngine | Gone]()
        self._dying = threading.Event()
        self.is_ready = False
        self._thread = threading.Thread(target=self._live, daemon=True)
        self.engines.begun.append(self)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        return self._pid

    @property
    def is_dying(self) -> bool:
        """Whether it was told to end, or to die."""
        return self._dying.is_set()

    def send(self, message: ToEngine) -> None:
        self._inbox.put(message)

    def stop(self) -> None:
        self.send(Stop())
        self._dying.set()
        self._thread.join()

    def say(self, message: FromEngine) -> None:
        """Tell the front something."""
        self._hear(self, message)

    def say_ready(self) -> None:
        """Tell of the model, which may have changed."""
        self.say(Ready(self.engines.about))

    def draw(self, run: Run) -> None:
        """Finish a job, with pictures of one colour each."""
        seed, prompt = run.settings.get("seed", 0), run.settings.get("prompt")
        requests = [{"task": run.task, "prompt": prompt, "seed": seed + k} for k in range(count_of(run))]
        pictures = [Image.new("RGB", self._size(run), colour_of(seed + k)) for k in range(count_of(run))]
        self.say(Called("decoder", len(pictures), 1, 0.01))
        self.say(Done(run.job, [Pixels.of(picture) for picture in pictures], requests, {}))

    def step(self, run: Run, index: int, of: int, stage: str = "decoder") -> None:
        """Say that a job has made a step, and show its pictures if they are asked for."""
        shown = [Pixels.of(Image.new("RGB", (64, 64), colour_of(k))) for k in range(count_of(run))]
        self.say(Stepped(run.job, stage, index, of, shown if run.previews else ()))

    def pause(self) -> None:
        """Let the front take in what was said, as a real engine's next step does."""
        time.sleep(0.02)

    def fail(
        self, run: Run, reason: Literal["request", "policy", "internal"], message: str, *flags: str
    ) -> None:
        """End a job without pictures."""
        self.say(Failed(run.job, reason, message, flags))

    def die(self, exit_code: int = -9) -> None:
        """End unasked, as by a signal, whether or not it is ready."""
        self._inbox.put(Gone(exit_code))
        self._dying.set()

    def _size(self, run: Run) -> tuple[int, int]:
        if run.task in ("edit", "outpaint"):
            return run.pictures[run.settings["image"]["picture"]].size
        side = run.settings.get("size") or max(self.engines.about.sizes)
        return (side, side)

    def _live(self) -> None:
        while not self.engines.loaded.wait(0.002) and not self._dying.is_set():
            pass
        refuses = self.engines.refuses
        if self.engines.loaded.is_set():
            self.say(Ready(self.engines.about) if refuses is None else NotReady(refuses))
            self.is_ready = True
        message: ToEngine | Gone = Stop() if refuses else self._inbox.get()
        while not isinstance(message, Stop | Gone):
            self.told.append(message)
            if isinstance(message, Run):
                self.engines.act(self, message)
            message = self._inbox.get()
        self._hear(self, message if isinstance(message, Gone) else Gone(0))


def _draw(engine: StubEngine, run: Run) -> None:
    engine.draw(run)


def hold(engine: StubEngine, run: Run) -> None:
    """Leave a job undone, until a test says what becomes of it."""


@dataclass
class Engines:
    """All stub engines of a test, in the order of their beginning, and what they do."""

    about: About = ABOUT
    act: Act = _draw  # what is done with a job, in the engine's thread
    refuses: str | None = None  # why the model cannot be loaded
    loaded: threading.Event = field(default_factory=threading.Event)  # ready as soon as it is set
    begun: list[StubEngine] = field(default_factory=list[StubEngine])

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> "Engines":
        """Have every server begin stub engines from now on."""
        engines = cls()
        engines.loaded.set()
        kind = type("Stub", (StubEngine,), {"engines": engines})
        monkeypatch.setattr("unclip.server.dispatcher.EngineProcess", kind)
        return engines

    def runs(self, job: str | None = None) -> list[tuple[StubEngine, Run]]:
        """The jobs that were given to engines so far, or how one was."""
        told = [(engine, run) for engine in self.begun for run in engine.told if isinstance(run, Run)]
        return [(engine, run) for engine, run in told if job in (None, run.job)]

    def wait_for_runs(self, count: int) -> list[tuple[StubEngine, Run]]:
        """Wait until so many jobs were given to engines."""
        until(lambda: len(self.runs()) >= count)
        return self.runs()


def until(happened: Callable[[], Any]) -> None:
    """Wait for something to happen in another thread."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)
