"""Every stage and both loops against huggingface/diffusers 0.42.1, on one folder with random weights.

Everything is equal to the last bit where this was written; the tolerance is for other machines, whose
kernels may sum in another order, and an upsampler's first step multiplies what differs by thousands.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import unclip
from unclip.cli import main
from unclip.diffusion.driver import Plan, answer
from unclip.images import from_pil
from unclip.pipelines.text_to_image import TextToImage, resolved, text_to_image
from unclip.pipelines.variations import Variations, variations
from unclip.system import System

EXACT = 1e-6  # of one network
SAME = 1e-4  # of a loop
SENTENCES = [
    "a cat",
    "",
    "Don't  look at\tthat cat!!! 12 caf\u00e9s",
    "cat " * 90,
    "<|endoftext|>x",
    "\u5c71 \u00e9",
]
SENTENCE = "a red cat, sitting!"
PICTURE = Image.effect_mandelbrot((32, 32), (-2, -1.2, 1, 1.2), 60).convert("RGB")

Folder = tuple[Any, Path]


@pytest.fixture(scope="module")
def pipe(text_to_image_folder: Folder) -> Any:
    return text_to_image_folder[0]


@pytest.fixture(scope="module")
def system(text_to_image_folder: Folder) -> System:
    return unclip.load(text_to_image_folder[1], device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def varying(variations_folder: Folder) -> System:
    return unclip.load(variations_folder[1], device="cpu", dtype="float32")


def farthest(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return (found - expected).abs().max().item()


def theirs_encoded(pipe: Any, sentences: list[str]) -> tuple[Any, Any]:
    given = pipe.tokenizer(
        sentences, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        return given, pipe.text_encoder(given.input_ids)


def test_sentences_have_the_same_tokens(pipe: Any, system: System) -> None:
    given, _ = theirs_encoded(pipe, SENTENCES[:4] + SENTENCES[5:])
    found = system.tokenizer(SENTENCES[:4] + SENTENCES[5:])
    assert torch.equal(found.tokens, given.input_ids)
    assert torch.equal(found.mask, given.attention_mask.bool())


def test_a_sentence_that_spells_a_mark_is_a_sentence(pipe: Any, system: System) -> None:
    """On purpose unlike transformers, whose sentence would end there."""
    given, _ = theirs_encoded(pipe, [SENTENCES[4]])
    assert system.tokenizer([SENTENCES[4]]).mask.sum() > given.attention_mask.sum()


def test_the_text_tower(pipe: Any, system: System) -> None:
    given, expected = theirs_encoded(pipe, SENTENCES[:4])
    with torch.no_grad():
        embed, encodings = system.clip.encode_text(given.input_ids, given.attention_mask.bool())
    assert farthest(embed, expected.text_embeds) <= EXACT
    assert farthest(encodings, expected.last_hidden_state) <= EXACT


def test_the_image_tower(variations_folder: Folder, varying: System) -> None:
    pipe, _ = variations_folder
    seen = pipe.feature_extractor(images=PICTURE, return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = pipe.image_encoder(seen).image_embeds
        found = varying.clip.encode_image(from_pil([PICTURE]))
    assert farthest(found, expected) <= 1e-5  # pixels are divided by 255 and standardised in another order


@pytest.mark.parametrize("t", [0, 1, 42, 500, 999])
def test_the_prior(pipe: Any, system: System, t: int) -> None:
    given, text = theirs_encoded(pipe, SENTENCES[:3])
    mask, x_t = given.attention_mask.bool(), torch.randn(3, 32)
    with torch.no_grad():
        expected = pipe.prior(
            x_t,
            timestep=torch.tensor(t),
            proj_embedding=text.text_embeds,
            encoder_hidden_states=text.last_hidden_state,
            attention_mask=mask,
        ).predicted_image_embedding
        assert system.prior is not None
        prior = system.prior.network
        found = prior(x_t, torch.full((3,), t), text.text_embeds, text.last_hidden_state, mask)
        shifted = prior.unwhiten(x_t)
    assert farthest(found, expected) <= EXACT
    assert farthest(shifted, pipe.prior.post_process_latents(x_t)) <= EXACT


@pytest.mark.parametrize("guided", [False, True])
def test_the_decoder_with_its_context(pipe: Any, system: System, guided: bool) -> None:
    given, text = theirs_encoded(pipe, SENTENCES[:2])
    mask, x_t, image_embed = given.attention_mask.bool(), torch.randn(2, 3, 32, 32), torch.randn(1, 32)
    rows = image_embed if guided else image_embed.expand(2, -1)
    with torch.no_grad():
        context, added = pipe.text_proj(
            image_embeddings=rows,
            prompt_embeds=text.text_embeds,
            text_encoder_hidden_states=text.last_hidden_state,
            do_classifier_free_guidance=guided,
        )
        expected = pipe.decoder(
            x_t,
            torch.tensor(500),
            encoder_hidden_states=context,
            class_labels=added,
            attention_mask=torch.nn.functional.pad(mask, (4, 0), value=True),
        ).sample
        assert system.decoder is not None
        found = system.decoder.network(
            x_t,
            torch.full((2,), 500),
            image_embed.expand(2, -1),
            torch.tensor([not guided, True]),
            text.text_embeds,
            text.last_hidden_state,
            mask,
        )
    assert farthest(found, expected) <= EXACT


@pytest.mark.parametrize(
    ("t", "network"), [(999, "super_res_first"), (1, "super_res_first"), (0, "super_res_last")]
)
def test_the_upsampler(pipe: Any, system: System, t: int, network: str) -> None:
    x_t, low_res = torch.randn(2, 3, 64, 64), torch.rand(2, 3, 32, 32) * 2 - 1
    resized = torch.nn.functional.interpolate(
        low_res, size=[64, 64], mode="bicubic", align_corners=False, antialias=True
    )
    with torch.no_grad():
        expected = getattr(pipe, network)(torch.cat([x_t, resized], dim=1), torch.tensor(t)).sample
        found = system.upsamplers[0].network(x_t, torch.full((2,), t), low_res)
    assert farthest(found, expected) <= EXACT


def theirs_by_step(pipe: Any, call: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Tensor]]:
    """Run a pipeline and record what each of its schedulers returns."""
    recorded = list[tuple[str, Tensor]]()
    for name in ("prior", "decoder", "super_res"):
        scheduler = getattr(pipe, f"{name}_scheduler", None)
        if scheduler is None:
            continue

        def step(*args: Any, _step: Any = scheduler.step, _name: str = name, **kwargs: Any) -> Any:
            result = _step(*args, **kwargs)
            recorded.append((_name, result.prev_sample))
            return result

        monkeypatch.setattr(scheduler, "step", step)
    call()
    return recorded


def ours_by_step(plan: Plan) -> Iterator[tuple[str, Tensor]]:
    """Run a plan, yielding x after each step of each stage."""
    denoising = next(plan)
    while True:
        stage = "super_res" if denoising.stage.startswith("upsampler") else denoising.stage
        query = next(denoising.sampling)
        while True:
            prediction = answer(query, denoising.guide, denoising.network)
            try:
                query = denoising.sampling.send(prediction)
            except StopIteration as stop:
                sample = stop.value
                break
            yield stage, query.x_t
        yield stage, sample
        try:
            denoising = plan.send(sample)
        except StopIteration:
            return


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(7 + k) for k in range(count)]


def compare(found: Iterator[tuple[str, Tensor]], expected: list[tuple[str, Tensor]]) -> None:
    steps = list(found)
    assert [stage for stage, _ in steps] == [stage for stage, _ in expected]
    for (stage, ours), (_, theirs) in zip(steps, expected, strict=True):
        assert farthest(ours, theirs) <= SAME, stage


@pytest.mark.parametrize(
    ("n", "steps", "scales"),
    [
        (2, (5, 4, 3), (4.0, 8.0)),
        (1, (25, 25, 7), (4.0, 8.0)),
        (1, (2, 3, 2), (1.0, 1.0)),
        (2, (3, 2, 2), (4.0, 1.0)),
    ],
)
def test_every_step_of_text_to_image(
    pipe: Any,
    system: System,
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    steps: tuple[int, int, int],
    scales: tuple[float, float],
) -> None:
    prior, decoder, upsampler = steps
    expected = theirs_by_step(
        pipe,
        lambda: pipe(
            SENTENCE,
            num_images_per_prompt=n,
            generator=generators(n),
            prior_num_inference_steps=prior,
            decoder_num_inference_steps=decoder,
            super_res_num_inference_steps=upsampler,
            prior_guidance_scale=scales[0],
            decoder_guidance_scale=scales[1],
            output_type="np",
        ),
        monkeypatch,
    )
    request = TextToImage(
        SENTENCE,
        n=n,
        seed=7,
        steps=decoder,
        prior_steps=prior,
        upsampler_steps=upsampler,
        prior_guidance_scale=scales[0],
        guidance_scale=scales[1],
        rng="diffusers",
    )
    compare(ours_by_step(text_to_image(system, request)), expected)


def test_the_settings_are_those_of_the_pipeline(system: System) -> None:
    """The defaults of UnCLIPPipeline.__call__: 25, 25 and 7 steps, scales 4 and 8, one draw of the prior."""
    found = resolved(system, TextToImage(SENTENCE, rng="diffusers"))
    asked = {name: found[name] for name in ("prior_steps", "steps", "upsampler_steps", "candidates", "size")}
    assert asked == {"prior_steps": 25, "steps": 25, "upsampler_steps": 7, "candidates": 1, "size": 64}
    assert (found["prior_guidance_scale"], found["guidance_scale"]) == (4.0, 8.0)


@pytest.mark.parametrize("scale", [8.0, 1.0])
def test_every_step_of_variations(
    variations_folder: Folder, varying: System, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    pipe, _ = variations_folder
    with torch.no_grad():
        embed = varying.clip.encode_image(from_pil([PICTURE]))
    expected = theirs_by_step(
        pipe,
        lambda: pipe(
            image_embeddings=embed,
            num_images_per_prompt=2,
            generator=generators(2),
            decoder_num_inference_steps=4,
            super_res_num_inference_steps=3,
            decoder_guidance_scale=scale,
            output_type="np",
        ),
        monkeypatch,
    )
    request = Variations(
        PICTURE, 2, 7, fresh=True, steps=4, guidance_scale=scale, upsampler_steps=3, rng="diffusers"
    )
    compare(ours_by_step(variations(varying, request)), expected)


def test_the_command_draws_the_picture_of_the_pipeline(
    text_to_image_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, folder = text_to_image_folder
    (expected,) = pipe(
        SENTENCE,
        generator=torch.Generator().manual_seed(7),
        prior_num_inference_steps=3,
        decoder_num_inference_steps=3,
        super_res_num_inference_steps=2,
    ).images
    steps = ["--prior-steps", 3, "--steps", 3, "--upsampler-steps", 2]
    out = tmp_path / "cat.png"
    arguments = ["--rng", "diffusers", "--dtype", "float32", "--seed", 7, "--out", out, *steps]
    command = ["unclip", "generate", SENTENCE, "--model", folder, *arguments]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    with Image.open(out) as found:
        assert found.size == expected.size == (64, 64)
        assert np.abs(np.asarray(found, dtype=int) - np.asarray(expected, dtype=int)).max() <= 1
