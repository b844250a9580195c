from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unclip.checkpoints.store import named_networks
from unclip.diffusion.driver import drive, finish
from unclip.engine import worker as module
from unclip.engine.concepts import Concepts
from unclip.engine.messages import (
    Called,
    Cancel,
    Done,
    Failed,
    FromEngine,
    NotReady,
    Pixels,
    Run,
    Stepped,
    Stop,
)
from unclip.engine.process import Choice
from unclip.engine.worker import PREVIEW_SECONDS, PREVIEW_SIDE, Worker, work
from unclip.images import to_pil
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System

FEW = {"size": 64, "steps": 3, "prior_steps": 2, "upsampler_steps": 2}
PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")


def drawing(job: str, prompt: str = "a red cube", previews: bool = False, **settings: Any) -> Run:
    return Run(job, "text_to_image", {"prompt": prompt, **FEW, **settings}, previews=previews)


def varying(job: str) -> Run:
    settings = {"image": {"picture": "it"}, "steps": 2, "size": 64}
    return Run(job, "variations", settings, {"it": Pixels.of(PICTURE)})


class Ears:
    """Hears what a worker tells."""

    def __init__(self) -> None:
        self.heard = list[FromEngine]()

    def __call__(self, message: FromEngine) -> None:
        self.heard.append(message)

    def of(self, job: str) -> list[Any]:
        return [message for message in self.heard if getattr(message, "job", None) == job]

    def end(self, job: str) -> Any:
        return self.of(job)[-1]


def draw(worker: Worker, *runs: Run) -> None:
    """Draw jobs to their ends."""
    for run in runs:
        worker.run(run)
    tick_to_the_end(worker)


def tick_to_the_end(worker: Worker) -> None:
    for _ in range(100):  # more calls than any job here takes; where there is nothing to draw, it is none
        worker.tick()


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def worker(system: System, ears: Ears) -> Worker:
    return Worker(system, ears)


class Fake(Concepts):
    """Sees what it is told to see."""

    def __init__(self, sentence: str = "", given: str = "", drawn: str = "") -> None:
        self.sentence, self.seen, self.drawn = sentence, given, drawn
        self.asked = list[str]()

    def text(self, prompt: str) -> tuple[str, ...]:
        self.asked.append(prompt)
        return tuple(filter(None, [self.sentence]))

    def given(self, picture: Image.Image) -> tuple[str, ...]:
        return tuple(filter(None, [self.seen]))

    def images(self, pictures: Tensor) -> list[tuple[str, ...]]:
        last = tuple(filter(None, self.drawn.split(",")))
        return [()] * (len(pictures) - 1) + [last]


def test_a_job_is_told_step_by_step_and_ends_with_its_pictures(
    system: System, worker: Worker, ears: Ears
) -> None:
    draw(worker, drawing("a", n=2, seed=5))
    steps, end = ears.of("a")[:-1], ears.end("a")
    assert [(step.stage, step.index, step.num_steps, list(step.previews)) for step in steps] == [
        *[("prior", k, 2, []) for k in (1, 2)],
        *[("decoder", k, 3, []) for k in (1, 2, 3)],
    ]
    assert isinstance(end, Done)
    expected = to_pil(finish(drive(text_to_image(system, TextToImage("a red cube", n=2, seed=5, **FEW)))))
    assert [pixels.image().tobytes() for pixels in end.pictures] == [image.tobytes() for image in expected]
    assert [(request["prompt"], request["seed"], request["n"]) for request in end.requests] == [
        ("a red cube", 5, 1),
        ("a red cube", 6, 1),
    ]
    assert end.requests[0]["sampler"] == "dpm++"  # the model's own
    assert end.notes == {}


def test_calls_are_told_by_the_names_of_their_networks(ar_system: System, ears: Ears, system: System) -> None:
    draw(Worker(ar_system, ears), drawing("a"), drawing("b", prior="ar", prior_steps=None), varying("c"))
    calls = [message for message in ears.heard if isinstance(message, Called)]
    assert {call.stage for call in calls} == {"prior", "prior_ar", "decoder"}
    assert {call.stage for call in calls} <= named_networks(ar_system).keys()
    assert max(call.jobs for call in calls) > 1
    assert all(call.seconds > 0 and call.rows >= call.jobs for call in calls)


def test_a_picture_that_is_given_reaches_the_task(worker: Worker, ears: Ears) -> None:
    draw(worker, varying("a"))
    assert isinstance(ears.end("a"), Done)
    assert [picture.size for picture in ears.end("a").pictures] == [(64, 64)]


def test_pixels_come_back_as_they_went() -> None:
    for mode in ("RGB", "RGBA", "L"):
        image = PICTURE.convert(mode)
        assert Pixels.of(image).image().tobytes() == image.tobytes()
        assert (Pixels.of(image).image().mode, Pixels.of(image).image().size) == (mode, (64, 64))


def test_unknown_words_are_noted(worker: Worker, ears: Ears) -> None:
    draw(worker, drawing("a", "a bleu zebra", negative="a cubee"))
    assert ears.end("a").notes == {
        "unknown_words": {"bleu": ("blue", "table"), "zebra": (), "cubee": ("cube",)},
    }


def test_a_model_without_a_word_list_knows_no_unknown_words(system: System, ears: Ears) -> None:
    draw(Worker(replace(system, card=replace(system.card, words=())), ears), drawing("a", "a zebra"))
    assert ears.end("a").notes == {}


def test_a_sentence_that_was_cut_is_noted(worker: Worker, ears: Ears) -> None:
    draw(worker, drawing("a", "a red cube on a table " * 20))
    notes = ears.end("a").notes
    assert notes.keys() == {"shortened"}
    assert notes["shortened"]["prompt"] == ears.end("a").requests[0]["prompt"]


@pytest.mark.parametrize(
    "run", [drawing("bad", size=65), drawing("bad", ""), Run("bad", "dream", {}), drawing("bad", colour=1)]
)
def test_a_mistake_of_the_users_is_told_as_such(worker: Worker, ears: Ears, run: Run) -> None:
    draw(worker, drawing("good"), run)
    assert isinstance(ears.end("good"), Done)
    (end,) = ears.of("bad")
    assert isinstance(end, Failed)
    assert end.reason == "request"
    assert end.message


@pytest.fixture
def breaking(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder's network fails for calls that hold more than two rows."""
    assert system.decoder is not None
    forward = system.decoder.network.forward

    def fails(x_t: Tensor, *rest: Any, **conditions: Any) -> Tensor:
        if len(x_t) > 2:
            raise torch.OutOfMemoryError("no memory left")
        return forward(x_t, *rest, **conditions)

    monkeypatch.setattr(system.decoder.network, "forward", fails)


@pytest.mark.usefixtures("breaking")
def test_what_breaks_is_told_as_the_servers_fault_and_harms_nobody(worker: Worker, ears: Ears) -> None:
    draw(worker, drawing("good", guidance_scale=1.0), drawing("large", n=3), drawing("fine"))
    assert isinstance(ears.end("good"), Done)
    assert isinstance(ears.end("fine"), Done)
    end = ears.end("large")
    assert isinstance(end, Failed)
    assert (end.reason, end.message) == ("internal", "OutOfMemoryError: no memory left")


def test_a_cancelled_job_is_told_nothing_more(worker: Worker, ears: Ears) -> None:
    for run in (drawing("a"), drawing("b")):
        assert worker.hear(run)
    worker.tick()
    told = len(ears.of("a"))
    assert worker.hear(Cancel("a"))
    assert worker.hear(Cancel("never there"))
    tick_to_the_end(worker)
    assert len(ears.of("a")) == told
    assert isinstance(ears.end("b"), Done)


def test_a_job_may_come_again_after_it_was_cancelled(worker: Worker, ears: Ears) -> None:
    worker.run(drawing("a"))
    worker.tick()
    worker.hear(Cancel("a"))
    draw(worker, drawing("a"))
    assert isinstance(ears.end("a"), Done)


def test_it_is_told_to_stop(worker: Worker) -> None:
    assert not worker.hear(Stop())


def test_it_waits_for_work_and_then_only_looks(system: System, ears: Ears) -> None:
    ours, theirs = Pipe()
    with ours, theirs:
        worker = Worker(system, ears)
        ours.send(drawing("a"))
        assert worker.take(theirs)
        assert worker.take(theirs)  # there is something to draw: it does not wait
        ours.send(Cancel("a"))
        ours.send(Stop())
        assert not worker.take(theirs)
    told = len(ears.heard)
    tick_to_the_end(worker)
    assert len(ears.heard) == told  # it was cancelled before it was to stop


def test_warming_up_is_told_to_nobody(worker: Worker, ears: Ears) -> None:
    worker.warm_up()
    assert not ears.heard
    draw(worker, drawing("a"))
    assert isinstance(ears.end("a"), Done)


# Concepts.


@pytest.mark.parametrize("concepts", [Fake(sentence="weapon"), Fake(given="weapon"), Fake(drawn="weapon")])
def test_what_shows_a_concept_is_flagged(system: System, ears: Ears, concepts: Fake) -> None:
    run = Run(
        "a",
        "text_diff",
        {"image": {"picture": "it"}, "target": "a red cube", "steps": 1, "size": 64, "decoder_steps": 2},
        {"it": Pixels.of(PICTURE)},
    )
    draw(Worker(system, ears, concepts), run)
    end = ears.end("a")
    assert isinstance(end, Done)
    assert end.notes["flags"] == ["weapon"]
    assert concepts.asked == ["a red cube"]


def test_all_flags_of_a_job_are_told_once_and_in_order(system: System, ears: Ears) -> None:
    worker = Worker(system, ears, Fake(sentence="weapon", drawn="night,blood,weapon"))
    draw(worker, drawing("a", negative="a cube"))
    assert ears.end("a").notes["flags"] == ["blood", "night", "weapon"]
    draw(worker, drawing("a"))
    assert ears.end("a").notes["flags"] == ["blood", "night", "weapon"]


def test_what_was_seen_in_a_job_is_forgotten_with_it(system: System, ears: Ears) -> None:
    concepts = Fake(drawn="weapon")
    worker = Worker(system, ears, concepts)
    draw(worker, drawing("a"))
    concepts.drawn = ""
    draw(worker, drawing("a"))
    assert ears.end("a").notes == {}


def test_a_sentence_that_shows_a_concept_is_refused_before_anything_is_drawn(
    system: System, ears: Ears
) -> None:
    draw(Worker(system, ears, Fake(sentence="weapon"), block=True), drawing("a"))
    assert ears.heard == [Failed("a", "policy", "the prompt shows weapon", ("weapon",))]


def test_a_picture_that_shows_a_concept_is_not_given_out(system: System, ears: Ears) -> None:
    worker = Worker(system, ears, Fake(drawn="weapon,night"), block=True)
    draw(worker, drawing("a", n=2), drawing("b"))
    for job in "ab":
        assert ears.end(job) == Failed(job, "policy", "the output shows night, weapon", ("night", "weapon"))
    draw(worker, drawing("a"))  # nothing of it is left
    assert isinstance(ears.end("a"), Failed)


def test_nothing_is_flagged_where_nothing_is_seen(system: System, ears: Ears) -> None:
    draw(Worker(system, ears, Fake(), block=True), drawing("a"))
    assert isinstance(ears.end("a"), Done)
    assert ears.end("a").notes == {}


class Blind(Fake):
    """Cannot see sentences, or pictures."""

    def text(self, prompt: str) -> tuple[str, ...]:
        if "blue" in prompt:
            raise RuntimeError("cannot see")
        return ()

    def images(self, pictures: Tensor) -> list[tuple[str, ...]]:
        if len(pictures) > 1:
            raise RuntimeError("cannot see")
        return [()]


def test_a_concept_that_cannot_be_looked_for_fails_the_job_alone(system: System, ears: Ears) -> None:
    draw(Worker(system, ears, Blind()), drawing("a", "a blue cube"), drawing("b", n=2), drawing("c"))
    for job in "ab":
        assert ears.end(job) == Failed(job, "internal", "RuntimeError: cannot see")
    assert isinstance(ears.end("c"), Done)


# Previews.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that moves by what it is given at every look, from 1000 seconds on."""
    state = {"now": 1000.0, "by": 1.0}

    class Clock:
        perf_counter = staticmethod(module.time.perf_counter)

        @staticmethod
        def monotonic() -> float:
            state["now"] += state["by"]
            return state["now"]

    monkeypatch.setattr(module, "time", Clock)
    return lambda by: state.update(by=by)


def shown(ears: Ears, job: str) -> list[tuple[str, list[tuple[int, int]]]]:
    return [
        (step.stage, [preview.size for preview in step.previews])
        for step in ears.of(job)
        if isinstance(step, Stepped) and step.previews
    ]


def test_previews_show_every_picture_at_the_size_of_its_stage(
    worker: Worker, ears: Ears, clock: Callable[[float], None]
) -> None:
    clock(1.0)
    draw(worker, drawing("a", previews=True, n=2, size=1024, upsampler_steps=1), drawing("b"))
    assert shown(ears, "a") == [
        *[("decoder", [(64, 64)] * 2)] * 3,
        ("upsampler256", [(256, 256)] * 2),
        ("upsampler1024", [(PREVIEW_SIDE, PREVIEW_SIDE)] * 2),
    ]
    assert not shown(ears, "b")


def test_a_preview_is_what_is_predicted(
    system: System, worker: Worker, ears: Ears, clock: Callable[[float], None]
) -> None:
    clock(1.0)
    draw(worker, drawing("a", previews=True))
    last = [step for step in ears.of("a") if isinstance(step, Stepped)][-1]
    (picture,) = ears.end("a").pictures
    assert last.previews[0].image().tobytes() == picture.image().tobytes()


def test_previews_of_a_job_are_not_told_in_a_hurry(
    worker: Worker, ears: Ears, clock: Callable[[float], None]
) -> None:
    clock(PREVIEW_SECONDS / 3 + 1e-6)
    draw(worker, drawing("a", previews=True, steps=8))
    assert len(shown(ears, "a")) == 3  # at steps 1, 4 and 7
    draw(worker, drawing("b", previews=True, steps=8), drawing("c", previews=True, steps=8))
    assert len(shown(ears, "b")) == len(shown(ears, "c")) > 3  # each at its own time


def test_of_candidates_the_first_for_each_picture_is_shown(
    worker: Worker, ears: Ears, clock: Callable[[float], None]
) -> None:
    clock(1.0)
    draw(
        worker,
        drawing("a", previews=True, n=2, best_of=3, steps=1),
        drawing("b", previews=True, n=2, steps=1),
    )
    previews = {
        job: next(step.previews for step in ears.of(job) if isinstance(step, Stepped) and step.previews)
        for job in "ab"
    }
    for one, other in zip(previews["a"], previews["b"], strict=True):
        difference = torch.tensor(list(one.data)) - torch.tensor(list(other.data))
        assert difference.abs().max() <= 2


# The process, but for the process.


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(model="nowhere/at/all", device="cpu"), "nowhere/at/all"),
        (Choice(dtype="float8"), "'float8' is not one of auto"),
        (Choice(weights="int3"), "'int3' is not one of"),
        (Choice(device="abacus"), "abacus"),
        (Choice(memory_limit="much"), "much"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told(
    choice: Choice, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    ours, theirs = Pipe()
    with ours, theirs:
        work(theirs, choice)
        told = ours.recv()
    assert isinstance(told, NotReady)
    assert words in told.message
    assert "\n" not in told.message
