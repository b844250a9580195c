from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from unclip.images import from_pil, to_uint8
from unclip.pipelines.edit import Edit
from unclip.pipelines.given import embed, resized, seen_size, squares, without_pictures
from unclip.pipelines.interpolation import Interpolation, Mix
from unclip.system import System

Draw = Callable[..., Image.Image]


def test_a_square_of_the_size_is_left_as_it_is(picture: Draw) -> None:
    assert torch.equal(squares([picture(0), picture(1)], 64), from_pil([picture(0), picture(1)]))


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (65, 64)])
def test_what_lies_beyond_the_middle_square_is_cut_off(size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    top, left = (size[1] - 64) // 2, (size[0] - 64) // 2
    pixels[top + 2 : top + 62, left + 2 : left + 62] = 255  # whatever half a pixel is rounded to
    (image,) = squares([Image.fromarray(pixels)], 64)
    assert image.shape == (3, 64, 64)
    assert image[:, 3:61, 3:61].min() == 1


@pytest.mark.parametrize("size", [(200, 100), (31, 57), (1, 1)])
def test_pictures_of_every_size_are_resized(picture: Draw, size: tuple[int, int]) -> None:
    found = squares([picture(0, size), picture(1)], 64)
    assert found.shape == (2, 3, 64, 64)
    assert found.abs().max() <= 1


def test_transparent_parts_lie_over_white(picture: Draw) -> None:
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    assert (to_uint8(squares([clear], 64)) == 255).all()


@pytest.mark.parametrize("mode", ["L", "P", "LA", "CMYK", "1"])
def test_pictures_of_every_mode_are_read(picture: Draw, mode: str) -> None:
    assert squares([picture().convert(mode)], 64).shape == (1, 3, 64, 64)


def test_an_embedding_is_clips_and_remembers_no_gradient(system: System, picture: Draw) -> None:
    images = squares([picture(0), picture(1)], 64).requires_grad_()
    found = embed(system, images)
    assert not found.requires_grad
    with torch.no_grad():
        assert torch.equal(found, system.clip.encode_image(images))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_a_picture_is_read_at_the_size_at_which_clip_and_decoder_see_all_of_it(
    distilled_system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen_size(distilled_system) == 64
    assert seen_size(replace(distilled_system, decoder=None)) == 64
    for size, seen in ((32, 64), (224, 224)):
        config = replace(distilled_system.clip.config, image_size=size)
        monkeypatch.setattr(distilled_system.clip, "config", config)
        assert seen_size(distilled_system) == seen
    assert seen_size(replace(distilled_system, decoder=None, distilled=None)) == 224


def test_resizing_to_the_same_size_changes_nothing(picture: Draw) -> None:
    images = squares([picture()], 64)
    assert resized(images, 64) is images


@pytest.mark.parametrize("size", [16, 48, 224])
def test_a_resized_picture_is_the_same_within_its_range(picture: Draw, size: int) -> None:
    images = squares([picture(0, (96, 96)), picture(1, (96, 96))], 96)
    found = resized(images, size)
    assert found.shape == (2, 3, size, size)
    assert found.abs().max() <= 1
    assert (resized(found, 96) - images).abs().mean() < 0.1
    assert found.mean().item() == pytest.approx(images.mean().item(), abs=0.02)


def test_what_a_request_says_is_all_but_its_pictures(picture: Draw) -> None:
    said = without_pictures(Edit(picture(), "a red cube", mask=picture().convert("RGBA"), n=2))
    assert {"image", "mask"}.isdisjoint(said)
    assert (said["prompt"], said["n"], said["size"]) == ("a red cube", 2, None)
    assert without_pictures(Edit(picture(), "a cube"))["mask"] is None


def test_sentences_among_pictures_stay(picture: Draw) -> None:
    said = without_pictures(Mix((picture(), "a cube", picture(1)), weights=(1.0, 2.0, 3.0)))
    assert said["parts"] == ("a cube",)
    assert said["weights"] == (1.0, 2.0, 3.0)
    said = without_pictures(Interpolation(picture(), "a cube"))
    assert "a" not in said
    assert said["b"] == "a cube"
