import numpy as np
import pytest

from unclip.diffusion.driver import drive, finish
from unclip.errors import RequestError
from unclip.images import to_pil
from unclip.pipelines.generation import generate, steps
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System

PROMPT = "a red cube"


def test_images_are_those_of_the_plan(system: System) -> None:
    expected = to_pil(finish(drive(text_to_image(system, TextToImage(PROMPT, n=2, seed=3, size=64)))))
    found = generate(system, PROMPT, n=2, seed=3, size=64)
    assert [image.size for image in found] == [(64, 64)] * 2
    for left, right in zip(found, expected, strict=True):
        assert np.array_equal(left, right)


def test_steps_are_seen_one_at_a_time(system: System) -> None:
    seen = [(step.stage, step.index, step.num_steps) for step in steps(system, PROMPT, size=64, steps=3)]
    assert seen == [("prior", 1, 2), ("prior", 2, 2), ("decoder", 1, 3), ("decoder", 2, 3), ("decoder", 3, 3)]


@pytest.mark.parametrize("watched", [0, 3, 6, 100])
def test_images_run_what_steps_are_left(system: System, watched: int) -> None:
    generation = steps(system, PROMPT, size=64)
    for _ in zip(range(watched), generation, strict=False):
        pass
    (image,) = generation.images
    assert np.array_equal(image, generate(system, PROMPT, size=64)[0])
    assert generation.images[0] is image
    assert list(generation) == []


def test_nothing_runs_that_is_not_asked_for(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops iterating has cancelled."""
    assert system.decoder is not None
    calls = list[object]()
    forward = system.decoder.network.forward
    monkeypatch.setattr(
        system.decoder.network, "forward", lambda *a, **k: (calls.append(a), forward(*a, **k))[1]
    )
    for step in steps(system, PROMPT, size=64):
        if (step.stage, step.index) == ("decoder", 2):
            break
    assert len(calls) == 2


def test_a_bad_request_is_refused_at_the_first_step(system: System) -> None:
    generation = steps(system, "", size=64)
    with pytest.raises(RequestError, match="the prompt is empty"):
        next(generation)
    with pytest.raises(RequestError, match="size 65"):
        generate(system, PROMPT, size=65)
    with pytest.raises(TypeError, match="colour"):
        steps(system, PROMPT, colour="red")
