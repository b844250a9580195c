"""What the process that draws does: take jobs, draw them together, and tell what becomes of them."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any, cast, get_args

import torch.nn.functional as F
from torch import Tensor

from unclip.checkpoints.load import choose_device, model_folder, open_model
from unclip.checkpoints.placing import place
from unclip.checkpoints.planning import DType, Weights, choose_plan, parse_size
from unclip.checkpoints.store import fingerprint, named_networks
from unclip.diffusion.driver import Network, Step
from unclip.engine.batching import Batch, Finished, Report
from unclip.engine.concepts import Concepts
from unclip.engine.messages import (
    About,
    Called,
    Cancel,
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
from unclip.engine.process import Choice
from unclip.engine.tasks import Prepared, prepare
from unclip.errors import RequestError, UnclipError
from unclip.images import to_pil
from unclip.system import System
from unclip.text.prompts import unknown_words

MOST_VALUES = 16 * 3 * 64**2  # of one call: 16 pictures of 64 px, or one of 256
PREVIEW_SECONDS = 0.1  # between two previews of a job
PREVIEW_SIDE = 256  # pixels at most


def work(connection: Connection, choice: Choice) -> None:
    """Load the model and draw until told to stop, or until the front has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front hears it, too, and decides
    with suppress(EOFError, ConnectionError):
        try:
            system = _load(choice)
            concepts = None if choice.concepts is None else Concepts.of(system, choice.concepts)
        except UnclipError as error:
            connection.send(NotReady(str(error)))
            return
        worker = Worker(system, connection.send, concepts, choice.block)
        worker.warm_up()
        connection.send(Ready(_about(system, choice)))
        while worker.take(connection):
            worker.tick()


def _load(choice: Choice) -> System:
    for value, known in ((choice.dtype, get_args(DType)), (choice.weights or "int8", get_args(Weights))):
        if value not in known:
            raise RequestError(f"{value!r} is not one of {', '.join(known)}")
    limit = None if choice.memory_limit is None else parse_size(choice.memory_limit)
    device, opened = choose_device(choice.device), open_model(choice.model)
    dtype, weights = cast(DType, choice.dtype), cast("Weights | None", choice.weights)
    return place(opened, choose_plan(opened, device, dtype, weights, limit), device)


def _about(system: System, choice: Choice) -> About:
    found = fingerprint(model_folder(choice.model))
    made = f"unclip {version('unclip')}"
    return About(system.card.name, found, made, str(system.device), system.sizes, tuple(_tasks(system)))


def _tasks(system: System) -> Iterator[str]:
    speaks = system.prior is not None or system.prior_ar is not None
    sees = system.clip.config.image_size > 0
    if speaks and (system.decoder is not None or system.distilled is not None):
        yield "text_to_image"
    if system.decoder is not None and sees:
        yield "variations"
        yield "text_diff"
        if speaks:
            yield from ("interpolation", "mix")
    if system.decoder is not None and speaks:
        yield from ("edit", "outpaint")


class Worker:
    """The jobs under way in this process; `tell` is given what becomes of them.

    What shows one of the concepts is refused (`block`), or told among a job's notes.
    """

    def __init__(
        self,
        system: System,
        tell: Callable[[FromEngine], None],
        concepts: Concepts | None = None,
        block: bool = False,
    ) -> None:
        self._system, self._tell = system, tell
        self._concepts, self._block = concepts, block
        self._flags = dict[str, set[str]]()  # what was found in a job so far
        self._names: Mapping[Network, str] = {net: name for name, net in named_networks(system).items()}
        self._batch = Batch(MOST_VALUES, self._called)
        self._jobs = dict[str, tuple[Run, Prepared]]()
        self._previewed = dict[str, float]()  # when a job's last preview was told

    def warm_up(self) -> None:
        """Draw a picture that nobody sees: first calls are slow."""
        if "text_to_image" in _tasks(self._system):
            tell, self._tell = self._tell, lambda _: None
            self.run(Run("warm-up", "text_to_image", {"prompt": "a"}))
            while self._batch:
                self.tick()
            self._tell = tell

    def take(self, connection: Connection) -> bool:
        """Take what the front says, waiting for it if there is nothing to draw; False: to stop."""
        while connection.poll(0 if self._batch else None):
            if not self.hear(connection.recv()):
                return False
        return True

    def hear(self, message: ToEngine) -> bool:
        """Do what the front says; False: it says to stop."""
        match message:
            case Run():
                self.run(message)
            case Cancel(job):
                self._batch.drop(job)
                self._forget(job)
            case Stop():
                return False
        return True

    def run(self, run: Run) -> None:
        """Begin to draw a job."""
        try:
            images = {name: pixels.image() for name, pixels in run.pictures.items()}
            prepared = prepare(self._system, run.task, run.settings, images)
            seen = self._seen(prepared)
        except Exception as error:
            self._tell(failure(run.job, error))
            return
        if self._is_refused(run.job, "prompt", seen):
            return
        # Without pictures, which were looked at: the plan has what it needs of them.
        self._jobs[run.job] = replace(run, pictures={}), replace(prepared, images=())
        for job, report in self._batch.add(run.job, prepared.plan):
            self._report(job, report)

    def tick(self) -> None:
        """Make one network call for all jobs that wait for that network."""
        for job, report in self._batch.tick():
            self._report(job, report)

    def _report(self, job: str, report: Report) -> None:
        run, prepared = self._jobs[job]
        match report:
            case Step():
                previews = self._previews(run, report, len(prepared.requests))
                self._tell(Stepped(job, report.stage, report.index, report.num_steps, previews))
            case Finished(images):
                try:
                    end = self._done(job, prepared, images)
                except Exception as error:
                    end = failure(job, error)
                if end is not None:
                    self._tell(end)
                self._forget(job)
            case _:
                self._tell(failure(job, report.error))
                self._forget(job)

    def _done(self, job: str, prepared: Prepared, images: Tensor) -> Done | None:
        """Return a job's pictures; None if they are refused."""
        found = [] if self._concepts is None else self._concepts.images(images)
        if self._is_refused(job, "output", set[str]().union(*found)):
            return None
        pictures = [Pixels.of(image) for image in to_pil(images)]
        return Done(job, pictures, prepared.requests, self._notes(job, prepared))

    def _seen(self, prepared: Prepared) -> set[str]:
        """Return the concepts that a request's sentences and pictures show."""
        if self._concepts is None:
            return set()
        texts = [self._concepts.text(sentence) for sentence in prepared.sentences]
        return set[str]().union(*texts, *map(self._concepts.given, prepared.images))

    def _is_refused(self, job: str, what: str, found: set[str]) -> bool:
        """Note what was found in a job, and refuse the job if that is what is done."""
        if found and self._block:
            flags = tuple(sorted(found))
            self._tell(Failed(job, "policy", f"the {what} shows {', '.join(flags)}", flags))
            self._forget(job)
            return True
        if found:
            self._flags.setdefault(job, set()).update(found)
        return False

    def _forget(self, job: str) -> None:
        self._flags.pop(job, None)
        self._jobs.pop(job, None)
        self._previewed.pop(job, None)

    def _previews(self, run: Run, step: Step, count: int) -> Sequence[Pixels]:
        now = time.monotonic()
        drawn = step.stage.startswith(("decoder", "upsampler"))
        if not run.previews or not drawn or now - self._previewed.get(run.job, 0.0) < PREVIEW_SECONDS:
            return ()
        self._previewed[run.job] = now
        first = step.x0[:: max(1, len(step.x0) // count)]  # of the candidates for each picture
        return [Pixels.of(image) for image in to_pil(_small(first[:count]))]

    def _notes(self, job: str, prepared: Prepared) -> dict[str, Any]:
        words, strangers = self._system.card.words, dict[str, tuple[str, ...]]()
        for sentence in prepared.sentences if words else ():
            strangers |= unknown_words(sentence, words)
        notes = {
            "unknown_words": strangers,
            "shortened": dict(prepared.shortened),
            "flags": sorted(self._flags.get(job, ())),
        }
        return {name: note for name, note in notes.items() if note}

    def _called(self, network: Network, rows: int, requests: int, seconds: float) -> None:
        self._tell(Called(self._names.get(network, "other"), rows, requests, seconds))


def failure(job: str, error: Exception) -> Failed:
    """Tell what went wrong: to the user if it can be mended by asking otherwise."""
    if isinstance(error, UnclipError):
        return Failed(job, "request", str(error))
    return Failed(job, "internal", f"{type(error).__name__}: {error}")


def _small(images: Tensor) -> Tensor:
    scale = PREVIEW_SIDE / max(images.shape[-2:])
    return F.interpolate(images, scale_factor=scale, mode="area") if scale < 1 else images
