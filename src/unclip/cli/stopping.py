"""When a training stops before its end."""

import signal
import time
from collections.abc import Callable

import typer


def stop_signal(max_minutes: float | None) -> Callable[[], bool]:
    """Tell whether time is up, or an interrupt or termination has asked to save and stop."""
    end = time.monotonic() + 60 * max_minutes if max_minutes is not None else float("inf")
    asked = list[int]()
    for number in (signal.SIGINT, signal.SIGTERM):
        previous = signal.getsignal(number)

        def once(received: int, frame: object, previous: object = previous) -> None:
            del frame
            asked.append(received)
            signal.signal(received, previous)  # pyright: ignore[reportArgumentType] (the second time ends at once)
            typer.echo("saving a checkpoint, then stopping", err=True)

        signal.signal(number, once)
    return lambda: bool(asked) or time.monotonic() > end
