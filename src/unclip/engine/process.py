"""A process that draws, as the front holds it. Needs no torch: the front stays light."""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from unclip.engine.messages import FromEngine, Stop, ToEngine

STOP_SECONDS = 10.0  # that a process has to end before it is killed


@dataclass(frozen=True)
class Choice:
    """The model that a process draws with, and how it is held in memory (see `checkpoints.load`)."""

    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    weights: str | None = None
    memory_limit: str | None = None  # as 4GiB
    concepts: Path | None = None  # a file of concepts to look for (see engine.concepts); None: none
    block: bool = False  # refuse what shows a concept, instead of flagging it


@dataclass(frozen=True)
class Gone:
    """The process has ended. The exit code is negative where a signal has ended it."""

    exit_code: int | None


class EngineProcess:
    """One process with one model on one device. `hear` is called in a thread of its own."""

    def __init__(self, choice: Choice, hear: Callable[["EngineProcess", FromEngine | Gone], None]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._sending = threading.Lock()
        # A daemon: it is ended with the front; and where the front is killed, by the end of the pipe.
        self._process = context.Process(target=_work, args=(theirs, choice), daemon=True)
        self._process.start()
        theirs.close()  # or the end of theirs would not be noticed
        self._hear = hear
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    def send(self, message: ToEngine) -> None:
        """Tell it something. That it has ended is heard, not raised."""
        with self._sending, contextlib.suppress(OSError):
            self._connection.send(message)

    def stop(self) -> None:
        """End the process, by force if it does not end by itself; all that it said was heard then."""
        self.send(Stop())
        self._listening.join(STOP_SECONDS)
        self._process.kill()  # that has ended, unless it hangs
        self._listening.join()

    def _listen(self) -> None:
        try:
            while True:
                self._hear(self, self._connection.recv())
        except (EOFError, OSError):
            self._process.join()  # here alone: two threads cannot both wait for a process
            self._hear(self, Gone(self._process.exitcode))
            with self._sending:  # or its number would be another file's in the middle of a message
                self._connection.close()


def _work(connection: Connection, choice: Choice) -> None:
    from unclip.engine.worker import work

    work(connection, choice)
