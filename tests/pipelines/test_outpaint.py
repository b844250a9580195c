from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unclip.errors import RequestError
from unclip.pipelines.generation import Generation
from unclip.pipelines.outpaint import Outpaint, check_outpaint, layout, outpaint
from unclip.system import System

Draw = Callable[..., Image.Image]
FAST: dict[str, Any] = {"steps": 2, "resamplings": 1}


def extended(system: System, image: Image.Image, **changes: Any) -> list[np.ndarray]:
    request = replace(Outpaint(image, "a red cube", seed=5, **FAST), **changes)
    return [np.asarray(found) for found in Generation(outpaint(system, request)).images]


@pytest.fixture(scope="module")
def plain(system: System, picture: Draw) -> np.ndarray:
    return extended(system, picture(), right=16)[0]


@pytest.mark.parametrize(
    ("size", "added"),
    [
        ((64, 64), {"right": 32}),
        ((64, 64), {"left": 16, "top": 8, "right": 3, "bottom": 40}),
        ((90, 50), {"top": 20}),
        ((50, 70), {"left": 1}),
        ((256, 256), {"bottom": 64}),
    ],
)
def test_the_pictures_own_pixels_stay_as_they_are_at_their_place(
    system: System, picture: Draw, size: tuple[int, int], added: dict[str, int]
) -> None:
    image = picture(0, size)
    (found,) = extended(system, image, **added)
    left, right, top, bottom = (added.get(name, 0) for name in ("left", "right", "top", "bottom"))
    assert found.shape == (top + size[1] + bottom, left + size[0] + right, 3)
    assert np.array_equal(found[top : top + size[1], left : left + size[0]], np.asarray(image))
    new = np.ones(found.shape[:2], dtype=bool)
    new[top : top + size[1], left : left + size[0]] = False
    assert found[new].std() > 5  # painted, not filled with one colour


@pytest.mark.parametrize("frame", [(32, 0), (-32, -20), (0, 50), (63, 63)])
def test_a_frame_beyond_the_edges_is_painted(system: System, picture: Draw, frame: tuple[int, int]) -> None:
    (found,) = extended(system, picture(), frames=(frame,))
    x, y = (max(-place, 0) for place in frame)
    assert found.shape == (64 + abs(frame[1]), 64 + abs(frame[0]), 3)
    assert np.array_equal(found[y : y + 64, x : x + 64], np.asarray(picture()))


def test_siblings_differ_and_do_not_depend_on_each_other(system: System, picture: Draw) -> None:
    together = extended(system, picture(), right=16, n=2)
    assert (together[0] != together[1])[:, 64:].mean() > 0.8
    for k in range(2):
        (alone,) = extended(system, picture(), right=16, seed=5 + k)
        assert np.abs(alone.astype(int) - together[k]).max() <= 2


@pytest.mark.parametrize(
    "changes",
    [{"prompt": "a blue apple"}, {"seed": 6}, {"candidates": 3}, {"resamplings": 2}, {"sampler": "ddim"}],
)
def test_every_setting_changes_what_is_new(
    system: System, picture: Draw, plain: np.ndarray, changes: dict[str, Any]
) -> None:
    (found,) = extended(system, picture(), right=16, **changes)
    assert not np.array_equal(found[:, 64:], plain[:, 64:])
    assert np.array_equal(found[:, :64], plain[:, :64])


# The canvas


def canvas(picture: Draw, size: tuple[int, int] = (64, 48), **changes: Any) -> Any:
    return layout(Outpaint(picture(0, size), "a cube", **changes))


def test_the_canvas_holds_the_picture_and_what_is_added(picture: Draw) -> None:
    found = canvas(picture, left=10, right=20, top=3, bottom=4)
    assert (found.size, found.origin, found.side) == ((94, 55), (10, 3), 48)
    known = found.known(picture(0, (64, 48)))
    assert known.shape == (55, 94)
    assert known[3:51, 10:74].all()
    assert known.sum() == 64 * 48


@pytest.mark.parametrize(
    ("frames", "size", "origin"),
    [
        (((40, 0),), (88, 48), (0, 0)),
        (((-40, -10),), (104, 58), (40, 10)),
        (((30, 20), (60, 30)), (108, 78), (0, 0)),
        (((40, 0), (80, 0)), (128, 48), (0, 0)),
    ],
)
def test_the_canvas_holds_all_frames(picture: Draw, frames: Any, size: Any, origin: Any) -> None:
    found = canvas(picture, frames=frames)
    assert (found.size, found.origin) == (size, origin)
    placed = tuple((x + origin[0], y + origin[1]) for x, y in frames)
    assert found.places[: len(frames)] == placed


def test_together_frames_cover_all_that_is_new(picture: Draw) -> None:
    for changes in (
        {"left": 100, "bottom": 7},
        {"frames": ((40, 30), (80, 60))},
        {"top": 50, "frames": ((30, 30),)},
    ):
        found = canvas(picture, **changes)
        known = found.known(picture(0, (64, 48)))
        for x, y in found.places:
            window = known[y : y + found.side, x : x + found.side]
            assert window.shape == (48, 48)
            assert window.any(), "a frame with nothing to go on from"
            window[:] = True
        assert known.all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "nothing to paint: give --left, --right, --top, --bottom or a --frame beyond the edge"),
        ({"frames": ((5, 0),)}, "nothing to paint"),
        ({"left": -1}, "left must be 0 or more pixels, not -1"),
        ({"bottom": -5, "top": 9}, "bottom must be 0 or more pixels, not -5"),
        ({"right": 8200}, "the whole would be 8264 x 48: at most 8192 pixels a side"),
        ({"frames": ((0, -9000),)}, "the whole would be 64 x 9048: at most 8192"),
        ({"frames": ((64, 0),)}, "frame 64,0 does not overlap the picture or a frame before it"),
        ({"frames": ((80, 0), (40, 0))}, "frame 80,0 does not overlap .*: move it nearer"),
        ({"frames": ((40, 0), (-48, 0))}, "frame -48,0 does not overlap"),
    ],
)
def test_a_canvas_that_cannot_be_painted_is_refused(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        canvas(picture, **changes)
    with pytest.raises(RequestError, match=message):
        extended(system, picture(0, (64, 48)), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"guidance_scale": -1.0}, "guidance_scale must be between 0 and 100, not -1"),
        ({"resamplings": 0}, "resamplings must be at least 1, not 0"),
        ({"candidates": 0}, "candidates must be at least 1, not 0"),
        ({"sampler": "euler"}, "sampler 'euler' is not one of"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    request = replace(Outpaint(picture(), "a red cube", right=8), **changes)
    with pytest.raises(RequestError, match=message):
        check_outpaint(system, request)
    with pytest.raises(RequestError, match=message):
        next(Generation(outpaint(system, request)))


def test_a_picture_is_resized_first_if_asked_to(system: System, picture: Draw) -> None:
    small = picture(0).resize((30, 20))
    (image,) = extended(system, small, left=16, size=64)
    assert image.shape == (64, 16 + 96, 3)
    assert np.array_equal(image[:, 16:], small.resize((96, 64), Image.Resampling.BICUBIC))


def test_transparent_parts_of_the_picture_are_painted_as_well(system: System, picture: Draw) -> None:
    holed = picture(0).convert("RGBA")
    holed.paste((255, 255, 255, 0), (40, 40, 50, 50))
    (image,) = extended(system, holed, left=16)
    same = (image[:, 16:] == np.asarray(picture(0))).all(axis=-1)
    hole = np.asarray(holed)[..., 3] == 0
    assert not same[hole].all()
    assert same[~hole].all()
