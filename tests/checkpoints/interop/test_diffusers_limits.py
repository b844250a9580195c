from dataclasses import replace
from typing import Any

import pytest

from unclip.checkpoints.interop.diffusers_limits import obstacles
from unclip.checkpoints.store import build_empty
from unclip.diffusion.process import Process
from unclip.system import Stage, System


def changed(stage: Stage[Any], component: str, unet: dict[str, Any], **fields: Any) -> Stage[Any]:
    config = stage.network.config
    config = (
        replace(config, **fields, unet=replace(config.unet, **unet)) if unet else replace(config, **fields)
    )
    return replace(stage, network=build_empty(component, config))


def processed(stage: Stage[Any], **fields: Any) -> Stage[Any]:
    return replace(stage, process=Process(replace(stage.process.config, **fields)))


def test_karlos_structure_has_no_obstacles(karlo_like: System) -> None:
    assert obstacles(karlo_like) == []
    assert obstacles(replace(karlo_like, prior=None)) == []


@pytest.mark.parametrize(
    ("unet", "fields", "reason"),
    [
        ({}, {"guided": True}, "decoder.guided is True instead of False"),
        ({}, {"text_depth": 2}, "decoder.text_depth is 2 instead of 0"),
        ({}, {"embed_scale": 2.0}, "decoder.embed_scale is 2.0 instead of 1.0"),
        ({"patch_size": 2}, {}, "decoder.unet.patch_size is 2 instead of 1"),
        ({"place_width": 8}, {}, "decoder.unet.place_width is 8 instead of 0"),
        ({"mid_attention": False}, {}, "decoder.unet.mid_attention is False instead of True"),
        ({"head_width": 48}, {}, "decoder.unet.head_width is 48 instead of a divisor of 64"),
    ],
)
def test_decoders_that_are_not_karlos(
    karlo_like: System, unet: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    assert karlo_like.decoder is not None
    decoder = changed(karlo_like.decoder, "decoder", unet, **fields)
    assert obstacles(replace(karlo_like, decoder=decoder)) == [reason]


@pytest.mark.parametrize(
    ("unet", "fields", "reason"),
    [
        ({}, {"residual": True}, "residual is True instead of False"),
        ({}, {"low_size": 8}, "low_size is 8 instead of 16"),
        ({"patch_size": 2}, {}, "unet.patch_size is 2 instead of 1"),
        ({"place_width": 8}, {}, "unet.place_width is 8 instead of 0"),
        ({"attention": (False, True)}, {}, "unet.attention is (False, True) instead of (False, False)"),
        (
            {"mid_attention": True, "scale_shift": True},
            {},
            "unet.mid_attention is True instead of False",
        ),
        ({"mid_attention": True, "head_width": 48}, {}, "unet.head_width is 48 instead of a divisor of 64"),
    ],
)
def test_upsamplers_that_are_not_karlos(
    karlo_like: System, unet: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    upsampler = changed(karlo_like.upsamplers[0], "upsampler32", unet, **fields)
    assert obstacles(replace(karlo_like, upsamplers=(upsampler,))) == [f"upsampler32.{reason}"]


def test_attention_between_the_blocks_of_an_upsampler_is_known(karlo_like: System) -> None:
    upsampler = changed(karlo_like.upsamplers[0], "upsampler32", {"mid_attention": True})
    assert obstacles(replace(karlo_like, upsamplers=(upsampler,))) == []


def test_processes_that_its_scheduler_does_not_know(karlo_like: System) -> None:
    assert karlo_like.prior is not None
    assert karlo_like.decoder is not None
    system = replace(
        karlo_like,
        prior=processed(karlo_like.prior, variance="learned_range"),
        decoder=processed(karlo_like.decoder, prediction="v"),
        upsamplers=(processed(karlo_like.upsamplers[0], schedule="linear"),),
    )
    assert obstacles(system) == [
        "prior.variance is 'learned_range' instead of 'fixed'",
        "decoder.prediction is 'v' instead of 'eps' or 'x0'",
        "upsampler32.schedule is 'linear' instead of 'cosine' or 'cosine_float32'",
    ]
    rounded = processed(karlo_like.upsamplers[0], schedule="cosine_float32")
    assert obstacles(replace(karlo_like, upsamplers=(rounded,))) == []


def test_embeddings_of_another_length_or_width(karlo_like: System) -> None:
    config = replace(karlo_like.clip.config, normalize=True, text_width=64)
    assert obstacles(replace(karlo_like, clip=build_empty("clip", config))) == [
        "clip.normalize is True instead of False",
        "clip.text_width is 64 instead of 32",
    ]


def test_what_is_missing_is_said_at_once(karlo_like: System) -> None:
    sentences = replace(karlo_like.clip.config, image_size=0)
    system = replace(karlo_like, clip=build_empty("clip", sentences), prior=None, upsamplers=())
    assert obstacles(system) == ["there is neither a prior nor an image encoder", "there is no upsampler"]
    assert obstacles(replace(karlo_like, decoder=None)) == ["there is no decoder"]
    distilled = replace(karlo_like, decoder=None, distilled=karlo_like.decoder)
    assert obstacles(distilled) == ["there is no decoder but a distilled one"]


def test_all_reasons_of_a_small_model(system: System) -> None:
    fields = [reason.split()[0] for reason in obstacles(system)]
    assert fields == [
        "clip.normalize",
        "clip.text_width",
        "decoder.text_depth",
        "decoder.embed_scale",
        "decoder.unet.patch_size",
        "decoder.unet.place_width",
        "upsampler256.residual",
        "upsampler256.unet.patch_size",
    ]
