from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unclip.errors import RequestError
from unclip.imagefiles import to_rgb
from unclip.pipelines.edit import Edit, alpha, check_edit, edit, frame_side, known_pixels, resized
from unclip.pipelines.generation import Generation
from unclip.system import System

Draw = Callable[..., Image.Image]
Cut = Callable[[Image.Image], Image.Image]
FAST: dict[str, Any] = {"steps": 2, "resamplings": 1}


def edited(system: System, image: Image.Image, **changes: Any) -> list[np.ndarray]:
    request = replace(Edit(image, "a red cube", seed=5, **FAST), **changes)
    return [np.asarray(found) for found in Generation(edit(system, request)).images]


def mask_of(hole: np.ndarray) -> Image.Image:
    """A mask that is transparent where `hole` is True."""
    rgba = np.zeros((*hole.shape, 4), np.uint8)
    rgba[..., 3] = np.where(hole, 0, 255)
    return Image.fromarray(rgba)


def box(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    hole = np.zeros(size[::-1], dtype=bool)
    hole[top:bottom, left:right] = True
    return hole


def share_changed(found: np.ndarray, before: np.ndarray, where: np.ndarray) -> float:
    return float((found != before).any(axis=-1)[where].mean())


@pytest.fixture(scope="module")
def plain(system: System, picture: Draw, with_hole: Cut) -> np.ndarray:
    return edited(system, with_hole(picture()))[0]


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (1024, 1024), (300, 200), (65, 97), (5, 3)])
def test_all_pixels_outside_the_hole_are_as_they_were(
    system: System, picture: Draw, with_hole: Cut, size: tuple[int, int]
) -> None:
    image = picture(0, size)
    (found,) = edited(system, with_hole(image))
    hole = alpha(with_hole(image)) == 0
    assert found.shape == (*size[::-1], 3)
    assert np.array_equal(found[~hole], np.asarray(image)[~hole])
    assert share_changed(found, np.asarray(image), hole) > 0.9


@pytest.mark.parametrize("size", [(64, 64), (300, 200)])
def test_a_mask_says_where_the_hole_is(system: System, picture: Draw, size: tuple[int, int]) -> None:
    image, hole = picture(0, size), box(size, 10, 10, 50, 30)
    (found,) = edited(system, image, mask=mask_of(hole))
    assert np.array_equal(found[~hole], np.asarray(image)[~hole])
    assert share_changed(found, np.asarray(image), hole) > 0.9


def test_a_hole_of_many_frames_leaves_all_else_as_it_was(system: System, picture: Draw) -> None:
    """Wider than any frame: the picture's shorter side."""
    image, hole = picture(0, (150, 50)), box((150, 50), 20, 5, 140, 45)
    (found,) = edited(system, image, mask=mask_of(hole))
    assert np.array_equal(found[~hole], np.asarray(image)[~hole])
    assert share_changed(found, np.asarray(image), hole) > 0.9


def test_all_of_a_picture_can_be_painted_anew(system: System, picture: Draw) -> None:
    (found,) = edited(system, picture(), mask=mask_of(np.ones((64, 64), dtype=bool)))
    assert share_changed(found, np.asarray(picture()), np.ones((64, 64), dtype=bool)) > 0.9


def test_half_transparent_pixels_are_kept_over_white(system: System, picture: Draw) -> None:
    opaque = np.full((64, 64), 255, np.uint8)
    opaque[:20], opaque[20:40, 20:40], opaque[50:] = 1, 0, 254
    image = picture().convert("RGBA")
    image.putalpha(Image.fromarray(opaque))
    (found,) = edited(system, image)
    assert np.array_equal(found[opaque > 0], np.asarray(to_rgb(image))[opaque > 0])
    assert share_changed(found, np.asarray(to_rgb(image)), opaque == 0) > 0.9


@pytest.mark.parametrize(
    ("given", "size", "shape"), [((100, 64), 64, (64, 100)), ((100, 80), 256, (256, 320))]
)
def test_a_resized_picture_is_kept_outside_its_resized_hole(
    system: System, picture: Draw, with_hole: Cut, given: tuple[int, int], size: int, shape: tuple[int, int]
) -> None:
    image = with_hole(picture(0, given))
    expected, known = resized(to_rgb(image), alpha(image) > 0, size)
    (found,) = edited(system, image, size=size)
    assert found.shape == (*shape, 3)
    assert np.array_equal(found[known], np.asarray(expected)[known])
    assert share_changed(found, np.asarray(expected), ~known) > 0.9


@pytest.mark.parametrize("size", [None, 64])
def test_what_stood_in_the_hole_does_not_matter(system: System, picture: Draw, size: int | None) -> None:
    side = (100, 80)
    hole = box(side, 30, 20, 60, 50)
    other = np.where(hole[..., None], np.asarray(picture(1, side)), np.asarray(picture(0, side)))
    mask = mask_of(hole)
    (found,) = edited(system, picture(0, side), mask=mask, size=size)
    (again,) = edited(system, Image.fromarray(other), mask=mask, size=size)
    assert np.array_equal(found, again)


def test_siblings_differ_in_the_hole_and_do_not_depend_on_each_other(
    system: System, picture: Draw, with_hole: Cut
) -> None:
    image = with_hole(picture())
    hole = alpha(image) == 0
    together = edited(system, image, n=2)
    assert share_changed(together[0], together[1], hole) > 0.9
    for k in range(2):
        (alone,) = edited(system, image, seed=5 + k)
        assert np.abs(alone.astype(int) - together[k]).max() <= 2
    assert all(map(np.array_equal, together, edited(system, image, n=2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a blue apple"},
        {"seed": 6},
        {"steps": 3},
        {"guidance_scale": 9.0},
        {"sampler": "dpm++"},
        {"resamplings": 2},
    ],
)
def test_every_setting_changes_the_hole(
    system: System, picture: Draw, with_hole: Cut, plain: np.ndarray, changes: dict[str, Any]
) -> None:
    (found,) = edited(system, with_hole(picture()), **changes)
    assert not np.array_equal(found, plain)


# What is known


def test_the_hole_is_where_picture_or_mask_is_wholly_transparent(picture: Draw) -> None:
    rgba = np.asarray(picture().convert("RGBA")).copy()
    rgba[:10, :, 3], rgba[10:20, :, 3] = 0, 1
    mask = mask_of(box((64, 64), 0, 30, 64, 40))
    known = known_pixels(Image.fromarray(rgba), mask)
    assert np.flatnonzero(~known.all(axis=1)).tolist() == [*range(10), *range(30, 40)]
    assert known[10:30].all()


def test_a_palette_with_a_transparent_colour_has_a_hole(picture: Draw) -> None:
    image = picture().convert("P", palette=Image.Palette.ADAPTIVE)
    image.info["transparency"] = image.getpixel((0, 0))
    assert np.array_equal(known_pixels(image, None), np.asarray(image) != image.getpixel((0, 0)))
    grey = Image.new("LA", (8, 8), (9, 255))
    grey.putpixel((3, 4), (9, 0))
    assert np.argwhere(~known_pixels(grey, None)).tolist() == [[4, 3]]


@pytest.mark.parametrize(("mode", "shown"), [("RGB", "RGB"), ("L", "L")])
def test_a_mask_without_alpha_is_refused(picture: Draw, mode: str, shown: str) -> None:
    message = (
        rf"the mask has no alpha channel \(its mode is {shown}\): make it transparent where the picture shall"
    )
    with pytest.raises(RequestError, match=message):
        known_pixels(picture(), picture().convert(mode))


def test_a_mask_of_another_size_is_refused(picture: Draw) -> None:
    message = "the mask is 64 x 32 and the picture 64 x 64: give a mask of the picture's size"
    with pytest.raises(RequestError, match=message):
        known_pixels(picture(), mask_of(np.ones((32, 64), dtype=bool)))


def test_without_a_hole_there_is_nothing_to_do(picture: Draw) -> None:
    whole = mask_of(np.zeros((64, 64), dtype=bool))
    for image in (picture(), picture().convert("RGBA")):
        with pytest.raises(
            RequestError, match="no hole: the picture has no pixel of alpha 0; make transparent"
        ):
            known_pixels(image, None)
        with pytest.raises(RequestError, match="no hole: neither mask nor picture has a pixel of alpha 0"):
            known_pixels(image, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"size": 65}, "size 65 is not one of 64, 256, 1024"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"guidance_scale": -1.0}, "guidance_scale must be between 0 and 100, not -1"),
        ({"resamplings": 0}, "resamplings must be at least 1, not 0"),
        ({"sampler": "euler"}, "sampler 'euler' is not one of"),
        ({"image": Image.new("RGB", (64, 64))}, "there is no hole"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    system: System, picture: Draw, with_hole: Cut, changes: dict[str, Any], message: str
) -> None:
    request = replace(Edit(with_hole(picture()), "a red cube"), **changes)
    with pytest.raises(RequestError, match=message):
        check_edit(system, request)
    with pytest.raises(RequestError, match=message):
        next(Generation(edit(system, request)))


@pytest.mark.parametrize(
    ("missing", "message"), [("prior", "needs a prior"), ("decoder", "need the undistilled decoder")]
)
def test_an_edit_needs_prior_and_undistilled_decoder(
    distilled_system: System, picture: Draw, with_hole: Cut, missing: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_edit(replace(distilled_system, **{missing: None}), Edit(with_hole(picture()), "a red cube"))


# Sizes


@pytest.mark.parametrize(
    ("given", "size", "expected"),
    [((64, 64), 256, (256, 256)), ((100, 50), 64, (128, 64)), ((50, 101), 256, (256, 517))],
)
def test_the_shorter_side_gets_the_size(
    picture: Draw, given: tuple[int, int], size: int, expected: tuple[int, int]
) -> None:
    image, known = resized(picture(0, given), ~box(given, 10, 10, 20, 20), size)
    assert image.size == expected
    assert known.shape == expected[::-1]


def test_a_picture_of_the_size_is_left_as_it_is(picture: Draw) -> None:
    known = ~box((80, 64), 10, 10, 20, 20)
    image, same = resized(picture(0, (80, 64)), known, 64)
    assert np.array_equal(image, picture(0, (80, 64)))
    assert same is known


@pytest.mark.parametrize(("side", "size"), [(64, 256), (100, 256), (300, 64), (64, 63), (500, 256)])
def test_nothing_of_the_hole_gets_into_what_is_known(side: int, size: int) -> None:
    """A resized pixel is made of several."""
    hole = box((side, side), side // 3, side // 3, side // 2, side // 2)
    grey = np.full((side, side, 3), 128, np.uint8)
    image, known = resized(
        Image.fromarray(np.where(hole[..., None], 255, grey).astype(np.uint8)), ~hole, size
    )
    assert (np.asarray(image)[known] == 128).all()
    assert abs((~known).mean() - hole.mean()) < 0.03


@pytest.mark.parametrize(
    ("size", "hole", "largest", "side"),
    [
        ((64, 64), (20, 20, 30, 30), 1024, 64),
        ((300, 200), (20, 20, 30, 30), 1024, 200),
        ((3000, 2000), (20, 20, 30, 30), 1024, 1024),
        ((3000, 2000), (100, 100, 1100, 300), 1024, 1500),
        ((3000, 2000), (100, 100, 2100, 300), 1024, 2000),
    ],
)
def test_a_frame_is_as_large_as_the_picture_allows_and_no_larger_than_the_hole_needs(
    size: tuple[int, int], hole: tuple[int, int, int, int], largest: int, side: int
) -> None:
    assert frame_side(~box(size, *hole), largest) == side


def test_alpha_is_that_of_the_picture_or_opaque(picture: Draw, with_hole: Cut) -> None:
    assert (alpha(picture()) == 255).all()
    assert alpha(with_hole(picture())).min() == 0
    assert alpha(with_hole(picture())).shape == (64, 64)
