"""How large a job may be, told before anything is drawn as the tasks themselves would find it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sample_records import a_picture
from stub_engine import ABOUT

from unclip.errors import RequestError
from unclip.pipelines import edit, outpaint
from unclip.server.errors import ApiError
from unclip.server.native.asked import Edit, Outpaint, read_asked
from unclip.server.native.bounds import check_bounds, default_size, resized, whole_of
from unclip.system import System

ID = "img_" + "0" * 26
LARGE = replace(ABOUT, sizes=(64, 256, 1024, 2048))


def check(task: str, shape: tuple[int, int] = (256, 256), about: Any = LARGE, **fields: Any) -> None:
    picture = a_picture(id=ID, width=shape[0], height=shape[1])
    check_bounds(read_asked({"task": task, **fields}), about, {ID: picture})


def refusal(task: str, shape: tuple[int, int] = (256, 256), about: Any = LARGE, **fields: Any) -> str:
    with pytest.raises(ApiError) as caught:
        check(task, shape, about, **fields)
    assert caught.value.status == 400
    return str(caught.value)


SIDE, OFFSET = st.integers(1, 40), st.integers(0, 60)
PLACE = st.lists(st.integers(-50, 50), min_size=2, max_size=2)


@given(SIDE, SIDE, st.none() | SIDE, st.tuples(*[OFFSET] * 4), st.lists(PLACE, max_size=3))
def test_the_whole_is_as_large_as_the_pipeline_makes_it(
    width: int, height: int, size: int | None, more: tuple[int, ...], frames: list[list[int]]
) -> None:
    added = dict(zip(("left", "right", "top", "bottom"), more, strict=True))
    asked = Outpaint(task="outpaint", image=ID, prompt="a beach", size=size, frames=frames, **added)
    sized = resized(asked, a_picture(width=width, height=height))
    places = tuple((x, y) for x, y in frames)
    request = outpaint.Outpaint(Image.new("RGB", sized), "a beach", frames=places, **added)
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(outpaint, "cover", lambda known, side: [])  # slow for a tiny side
            theirs = outpaint.layout(request).size
    except RequestError:
        return  # nothing is added, or a frame does not touch the picture
    assert whole_of(asked, a_picture(width=width, height=height)) == theirs


@given(SIDE, SIDE, SIDE)
def test_an_edited_picture_is_resized_as_the_pipeline_does(width: int, height: int, size: int) -> None:
    asked = Edit(task="edit", image=ID, prompt="a lion", size=size)
    image = Image.new("RGB", (width, height))
    theirs, _ = edit.resized(image, edit.alpha(image) > 0, size)
    assert whole_of(asked, a_picture(width=width, height=height)) == theirs.size


@given(st.lists(st.integers(1, 2048), max_size=4).map(sorted))
def test_the_default_size_is_the_systems(sizes: list[int]) -> None:
    fget = System.default_size.fget
    assert fget is not None
    assert default_size(replace(ABOUT, sizes=tuple(sizes))) == fget(SimpleNamespace(sizes=tuple(sizes)))


def test_what_the_model_cannot_do_is_refused() -> None:
    about = replace(ABOUT, tasks=("text_to_image",))
    check("text_to_image", about=about, prompt="an apple")
    assert "'Stub 1' cannot do this: it has no variations" in refusal("variations", about=about, image=ID)


@pytest.mark.parametrize(
    ("task", "fields"),
    [("text_to_image", {"prompt": "a"}), ("edit", {"image": ID, "prompt": "a"}), ("mix", {"parts": ["a"]})],
)
def test_the_size_is_one_of_the_models(task: str, fields: dict[str, Any]) -> None:
    check(task, **{**fields, "size": 256})
    with pytest.raises(ApiError, match="sizes are 64, 256, 1024, 2048, not 300") as caught:
        check(task, **{**fields, "size": 300})
    assert (caught.value.error["param"], caught.value.error["code"]) == ("size", "invalid_size")


def test_pictures_are_so_many_pixels_together() -> None:
    check("text_to_image", prompt="a", n=10, size=1024)
    assert "10 of 2048 x 2048" in refusal("text_to_image", prompt="a", n=10, size=2048)
    check("interpolation", a="a", b="b", steps=32)
    assert "32 of 1024 x 1024" in refusal("interpolation", a="a", b="b", steps=32, size=1024)
    check("edit", (4096, 4096), image=ID, prompt="a")
    assert "2 of 4096 x 4096" in refusal("edit", (4096, 4096), image=ID, prompt="a", n=2)
    assert "10 of 2048 x 2048" in refusal(
        "outpaint", (1024, 1024), image=ID, prompt="a", right=1024, bottom=1024, n=10
    )


def test_a_whole_has_so_many_pixels_a_side() -> None:
    wide = {"image": ID, "prompt": "a", "left": 1500, "right": 1596}
    check("outpaint", (1000, 1000), **wide)
    assert "4097 x 1000 pixels: at most 4096" in refusal("outpaint", (1000, 1000), **{**wide, "left": 1501})
    frames = [[k * 500, 0] for k in range(7)]
    assert "4097 x 1000" in refusal(
        "outpaint", (1000, 1000), image=ID, prompt="a", frames=[*frames, [3097, 0]]
    )


def test_a_thin_picture_cannot_be_made_huge() -> None:
    assert "4194304 x 1024" in refusal("edit", (4096, 1), image=ID, prompt="a", size=1024)


def test_a_whole_is_not_painted_in_thousands_of_squares() -> None:
    check("outpaint", (64, 64), image=ID, prompt="a", right=192, bottom=192)
    assert "in squares of 64" in refusal("outpaint", (64, 64), image=ID, prompt="a", right=192, bottom=193)
    check("edit", (1024, 64), image=ID, prompt="a")
    assert "in squares of 64" in refusal("edit", (1025, 64), image=ID, prompt="a")


def test_pictures_that_are_given_are_so_many_pixels_together() -> None:
    ids = ["img_" + str(k) * 26 for k in range(3)]
    pictures = {id: a_picture(id=id, width=4096, height=4096) for id in ids}
    asked = read_asked({"task": "mix", "parts": ids[:2]})
    check_bounds(asked, LARGE, {id: pictures[id] for id in ids[:2]})
    with pytest.raises(ApiError, match="more than 33554432 pixels together"):
        check_bounds(read_asked({"task": "mix", "parts": ids}), LARGE, pictures)
