"""A program for test_killed.py: train a prior, killed at ever later moments, until it is done.

Usage: killed.py CLIP RUN. Prints how often it was killed, with SIGKILL.
"""

import itertools
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo  # which the optimizers need: imported once, before the forks

from conftest import be_brief, order, train

WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")


def die_at(moment: int, run: Path) -> None:
    """Kill this process when it is about to touch the disk for the `moment`-th time."""
    touched = itertools.count(1)

    def hook(event: str, args: tuple[object, ...]) -> None:
        touches = event in WRITES or (event == "open" and str(args[0]).startswith(str(run)))
        if touches and next(touched) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def train_until(moment: int, clip: Path, run: Path) -> None:
    die_at(moment, run)
    train(order("prior", run, clip, log_steps=1, checkpoint_minutes=0.0), warn=lambda _: None)


def main(clip: Path, run: Path) -> None:
    torch.set_num_threads(1)
    be_brief(setattr)
    for deaths, moment in enumerate(itertools.count(1, 2)):
        child = multiprocessing.get_context("fork").Process(target=train_until, args=(moment, clip, run))
        child.start()
        child.join()
        if child.exitcode != -signal.SIGKILL:
            assert child.exitcode == 0
            print(deaths)
            return


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
