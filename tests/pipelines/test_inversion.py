from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from unclip.diffusion.driver import Plan, drive, finish, run
from unclip.diffusion.process import Process
from unclip.errors import RequestError
from unclip.images import from_pil
from unclip.pipelines.generation import result
from unclip.pipelines.given import embed
from unclip.pipelines.inversion import Latent, decode, decoder_of, faded, invert, noise_latent, schedule_of
from unclip.pipelines.text_to_image import TextToImage, text_to_image
from unclip.system import System

Draw = Callable[..., Image.Image]
STEPS = 9


def inversion(system: System, images: Tensor, *settings: int) -> Plan:
    """What drives an inversion alone."""
    latent = yield from invert(system, images, *settings)
    return latent.x_T


def inverted(system: System, images: Tensor, *settings: int) -> Latent:
    return result(invert(system, images, *settings))


def decoded(system: System, latent: Latent, num_steps: int = STEPS, **changes: Any) -> Tensor:
    return finish(run(decode(system, latent, list(range(len(latent.x_T))), num_steps=num_steps, **changes)))


def psnr(found: Tensor, expected: Tensor) -> float:
    """In decibels, of pictures in [-1, 1]."""
    return (10 * (4 / (found.clamp(-1, 1) - expected).square().mean()).log10()).item()


@pytest.fixture(scope="module")
def images(picture: Draw) -> Tensor:
    return from_pil([picture(seed) for seed in range(3)])


@pytest.fixture(scope="module")
def latent(system: System, images: Tensor) -> Latent:
    return inverted(system, images, STEPS)


def test_decoding_without_new_noise_gives_the_picture_back(
    system: System, images: Tensor, latent: Latent
) -> None:
    """At 9 steps; with the 50 of the default it is 66 dB."""
    again = decoded(system, latent)
    for found, expected in zip(again, images, strict=True):
        assert psnr(found, expected) > 30
    assert psnr(again[0], images[1]) < 15


@pytest.mark.parametrize("fewer", [(5, 1), (9, 0)])
def test_steps_and_refinements_give_it_back_better(
    system: System, images: Tensor, latent: Latent, fewer: tuple[int, int]
) -> None:
    few = psnr(decoded(system, inverted(system, images, *fewer), fewer[0]), images)
    assert few > 15
    assert psnr(decoded(system, latent), images) > few + 3


def test_the_noise_is_noise(latent: Latent, images: Tensor) -> None:
    assert latent.x_T.shape == images.shape
    assert latent.x_T.isfinite().all()
    assert 0.8 < latent.x_T.std().item() < 1.3
    assert abs(latent.x_T.mean().item()) < 0.2


def test_the_embedding_is_clips(system: System, images: Tensor, latent: Latent) -> None:
    with torch.no_grad():
        assert torch.equal(latent.image_embed, system.clip.encode_image(images))


def test_the_error_is_the_networks_own_near_the_clean_picture(latent: Latent) -> None:
    """An untrained network's is about as large as the picture itself."""
    assert latent.error.shape == (3,)
    assert (latent.error > 0.3).all()
    assert (latent.error < 3).all()


def test_a_network_of_noise_has_no_such_error(system: System, images: Tensor) -> None:
    assert system.decoder is not None
    process = Process(replace(system.decoder.process.config, prediction="eps"))
    other = replace(system, decoder=replace(system.decoder, process=process))
    steps = [step.stage for step in drive(inversion(other, images[:1], 3))]
    assert steps == ["inversion"] * 6
    assert inverted(other, images[:1], 3).error.tolist() == [0]


def test_it_takes_a_glance_and_so_many_steps(system: System, images: Tensor) -> None:
    steps = [(step.stage, step.num_steps) for step in drive(inversion(system, images[:1], 3, 2))]
    assert steps == [("glance", 1)] + [("inversion", 9)] * 9


def test_a_latent_does_not_depend_on_its_company(system: System, images: Tensor, latent: Latent) -> None:
    alone = inverted(system, images[1:2], STEPS)
    torch.testing.assert_close(alone.x_T[0], latent.x_T[1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(alone.error[0], latent.error[1])


def test_more_new_noise_leads_further_away(system: System, images: Tensor, latent: Latent) -> None:
    found = [psnr(decoded(system, latent, eta=eta), images) for eta in (0.0, 0.2, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 20


def test_new_noise_is_each_seeds_own(system: System, latent: Latent) -> None:
    three = Latent(latent.image_embed[:1], latent.x_T[:1], latent.error[:1]).expanded(3)
    same, other, again = finish(run(decode(system, three, [5, 6, 5], eta=0.5, num_steps=5)))
    torch.testing.assert_close(same, again)
    assert (same - other).abs().max() > 0.01
    still = finish(run(decode(system, three, [5, 6, 5], eta=0.0, num_steps=5)))
    torch.testing.assert_close(still[0], still[1])


def test_a_guided_picture_keeps_its_range(system: System, latent: Latent) -> None:
    steps = list(run(decode(system, latent, [0, 1, 2], num_steps=5, guidance_scale=5.0)))
    assert all(step.x0.abs().max() <= 1 for step in steps)
    assert (decoded(system, latent, 5, guidance_scale=5.0) - decoded(system, latent, 5)).abs().max() > 0.01


def test_without_guidance_the_network_is_asked_one_row_a_picture(
    system: System, latent: Latent, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, rows = decoder_of(system).network, list[int]()
    forward = network.forward
    monkeypatch.setattr(
        network, "forward", lambda x_t, *a, **k: (rows.append(len(x_t)), forward(x_t, *a, **k))[1]
    )
    for scale in (1.0, 2.0):
        decoded(system, latent, 2, guidance_scale=scale)
    assert rows == [3, 3, 6, 6]


def test_faded_detail_is_no_longer_the_pictures(system: System, images: Tensor, latent: Latent) -> None:
    half = faded(latent, 0.5)
    torch.testing.assert_close(half.error, latent.error / 2)
    assert half.x_T is latent.x_T
    assert psnr(decoded(system, half), images) < psnr(decoded(system, latent), images) - 3


def test_expanding_copies_a_latent(latent: Latent) -> None:
    one = Latent(latent.image_embed[:1], latent.x_T[:1], latent.error[:1])
    many = one.expanded(4)
    assert (len(many.image_embed), len(many.x_T), len(many.error)) == (4, 4, 4)
    assert torch.equal(many.x_T[3], one.x_T[0])
    assert torch.equal(many.image_embed[3], one.image_embed[0])


def test_noise_of_a_seed_is_the_same_in_every_task(system: System, latent: Latent) -> None:
    found = noise_latent(system, latent.image_embed, [5, 6, 7])
    assert found.error.tolist() == [0, 0, 0]
    plan = text_to_image(system, TextToImage("a red cube", n=3, seed=5, size=64))
    prior = next(plan)
    denoising = plan.send(finish(run(prior)))
    assert torch.equal(next(denoising.sampling).x_t, found.x_T)


def test_pictures_of_another_size_are_inverted_at_the_decoders(system: System, picture: Draw) -> None:
    large = from_pil([picture(0, (96, 96))])
    latent = inverted(system, large, 3)
    assert latent.x_T.shape == (1, 3, 64, 64)
    assert torch.equal(latent.image_embed, embed(system, large))


@pytest.mark.parametrize("num_steps", [0, 1001])
def test_steps_that_cannot_be_walked_are_refused(system: System, images: Tensor, num_steps: int) -> None:
    message = f"steps must be between 1 and 1000, not {num_steps}"
    with pytest.raises(RequestError, match=message):
        schedule_of(decoder_of(system), num_steps)
    with pytest.raises(RequestError, match=message):
        next(drive(inversion(system, images, num_steps)))


def test_without_the_undistilled_decoder_nothing_is_inverted(
    distilled_system: System, images: Tensor
) -> None:
    message = "inversion and edits need the undistilled decoder: load the model with it"
    with pytest.raises(RequestError, match=message):
        next(drive(inversion(replace(distilled_system, decoder=None), images)))
