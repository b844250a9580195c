from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import drive, finish, run
from unclip.errors import RequestError
from unclip.models.pca import Pca, fit_pca
from unclip.pipelines.given import embed, squares
from unclip.pipelines.inversion import decode, noise_latent
from unclip.pipelines.probe import Probe, basis, check_probe, components_of, probe
from unclip.system import System

Draw = Callable[..., Image.Image]


def draw(system: System, image: Image.Image, pca: Pca | None = None, **changes: Any) -> Tensor:
    request = replace(Probe(image, components=(1, 4, 16), seed=5, size=64, decoder_steps=3), **changes)
    return finish(drive(probe(system, request, pca)))


def of_embed(system: System, image_embed: Tensor, scale: float = 2.0) -> Tensor:
    """What an embedding looks like, from the noise of seed 5."""
    return finish(run(decode(system, noise_latent(system, image_embed, [5]), [5], 0.0, 3, scale)))[0].clamp(
        -1, 1
    )


def close(left: Tensor, right: Tensor) -> bool:
    return (left - right).abs().max().item() < 1e-4


def test_all_components_draw_the_embedding_itself(ar_system: System, picture: Draw) -> None:
    images = draw(ar_system, picture())
    whole = embed(ar_system, squares([picture()], 64))
    assert images.shape == (3, 3, 64, 64)
    assert close(images[-1], of_embed(ar_system, whole))
    assert not close(images[0], images[-1])
    assert not close(images[1], images[-1])


def test_fewer_components_draw_what_is_left_of_it_at_unit_length(ar_system: System, picture: Draw) -> None:
    pca, whole = basis(ar_system), embed(ar_system, squares([picture()], 64))
    images = draw(ar_system, picture())
    for image, k in zip(images, (1, 4), strict=False):
        left = F.normalize(pca.reconstruct(pca.project(whole, k)), dim=-1)
        assert close(image, of_embed(ar_system, left))


def test_a_model_without_components_takes_those_it_is_given(system: System, picture: Draw) -> None:
    pca = fit_pca(F.normalize(torch.randn(100, 16), dim=-1))
    images = draw(system, picture(), pca)
    assert close(images[-1], of_embed(system, embed(system, squares([picture()], 64))))
    with pytest.raises(RequestError, match="no principal components: they come with an autoregressive prior"):
        draw(system, picture())
    with pytest.raises(RequestError, match="named with --data"):
        basis(system)


def test_larger_pictures_are_enlarged(ar_system: System, picture: Draw) -> None:
    assert draw(ar_system, picture(), size=256, components=(2,)).shape == (1, 3, 256, 256)


@pytest.mark.parametrize("changes", [{"seed": 6}, {"guidance_scale": 1.0}, {"decoder_steps": 4}])
def test_every_setting_changes_the_pictures(
    ar_system: System, picture: Draw, changes: dict[str, Any]
) -> None:
    assert not close(draw(ar_system, picture(), **changes), draw(ar_system, picture()))


@pytest.mark.parametrize(
    ("d", "expected"), [(16, (16,)), (40, (20, 30, 40)), (192, (20, 30, 40, 80, 120, 160, 192))]
)
def test_the_papers_numbers_of_components_are_taken_as_far_as_there_are_so_many(
    system: System, picture: Draw, monkeypatch: pytest.MonkeyPatch, d: int, expected: tuple[int, ...]
) -> None:
    monkeypatch.setattr(system.clip, "config", replace(system.clip.config, embed_dim=d))
    assert components_of(system, Probe(picture())) == expected


def test_asked_for_numbers_come_in_their_order(system: System, picture: Draw) -> None:
    assert components_of(system, Probe(picture(), components=(9, 3, 3))) == (9, 3, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": (4, 17)}, "components must be between 1 and 16, not 17"),
        ({"components": (0,)}, "components must be between 1 and 16, not 0"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"size": 65}, "size 65 is not one of 64, 256, 1024"),
        ({"guidance_scale": 101.0}, "guidance_scale must be between 0 and 100, not 101"),
        ({"decoder_steps": 0}, "steps must be between 1 and 1000, not 0"),
    ],
)
def test_a_probe_that_cannot_be_drawn_is_refused(
    ar_system: System, picture: Draw, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_probe(ar_system, replace(Probe(picture(), size=64), **changes))
    with pytest.raises(RequestError, match=message):
        draw(ar_system, picture(), **changes)
