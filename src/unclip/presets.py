"""The only literal sizes: each preset is a function that returns configs."""

from dataclasses import dataclass, replace
from typing import Any

from unclip.diffusion.process import ProcessConfig
from unclip.models.clip import ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.prior_ar import PriorArConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.system import SamplingDefaults, StageConfig


@dataclass(frozen=True)
class SystemConfig:
    """The configs of a whole system."""

    clip: ClipConfig
    prior: PriorConfig
    prior_ar: PriorArConfig | None  # None: the prior is the diffusion prior alone
    decoder: DecoderConfig
    upsampler256: UpsamplerConfig
    upsampler1024: UpsamplerConfig | None  # None: pictures end at 256 pixels
    stages: dict[str, StageConfig]


def bundled() -> SystemConfig:
    """The model shipped in the package: a picture in about a second on two CPU cores."""
    clip = ClipConfig(
        embed_dim=192,
        image_size=64,
        patch_size=8,
        image_width=192,
        image_depth=4,
        image_heads=6,
        vocab_size=1024,
        context_length=40,
        text_width=192,
        text_depth=3,
        text_heads=6,
    )
    unet = UNetConfig(
        in_channels=3,
        out_channels=3,
        channels=(96, 128, 192),
        depth=1,
        attention=(False, True, True),
        context_width=192,
        head_width=32,
        patch_size=4,
        groups=16,
        place_width=64,
    )
    return SystemConfig(
        clip=clip,
        prior=_prior(clip, width=192, depth=4, heads=4),
        prior_ar=_prior_ar(clip, width=160, depth=3, heads=5, components=48),
        decoder=DecoderConfig(
            clip.embed_dim,
            clip.text_width,
            unet,
            text_depth=2,
            text_heads=6,
            embed_scale=clip.embed_dim**0.5,
        ),
        upsampler256=_upsampler(64, channels=(48, 64), depth=1, residual=True, patch_size=4, groups=16),
        upsampler1024=_upsampler(256, channels=(48, 64), depth=1, residual=True, patch_size=8, groups=16),
        stages={
            "prior": StageConfig(ProcessConfig(x0_limit=5.0), SamplingDefaults("dpm++", 8)),
            "decoder": StageConfig(ProcessConfig(), SamplingDefaults("dpm++", 16, guidance_scale=2.0)),
            "upsampler256": StageConfig(ProcessConfig(), SamplingDefaults("dpm++", 2)),
            "upsampler1024": StageConfig(ProcessConfig("linear"), SamplingDefaults("dpm++", 2)),
        },
    )


def tiny() -> SystemConfig:
    """The bundled model's structure and picture sizes, far narrower: for tests."""
    clip = ClipConfig(
        embed_dim=16,
        image_size=64,
        patch_size=16,
        image_width=32,
        image_depth=1,
        image_heads=2,
        vocab_size=512,
        context_length=32,
        text_width=32,
        text_depth=1,
        text_heads=2,
    )
    unet = UNetConfig(
        in_channels=3,
        out_channels=3,
        channels=(16, 32),
        depth=1,
        attention=(False, True),
        context_width=32,
        head_width=16,
        patch_size=8,
        groups=8,
        place_width=16,
    )
    return SystemConfig(
        clip=clip,
        prior=_prior(clip, width=32, depth=1, heads=2),
        prior_ar=_prior_ar(clip, width=32, depth=1, heads=2, components=6, buckets=32, waves=16),
        decoder=DecoderConfig(
            clip.embed_dim,
            clip.text_width,
            unet,
            text_depth=1,
            text_heads=2,
            embed_scale=clip.embed_dim**0.5,
        ),
        upsampler256=_upsampler(64, channels=(8, 16), depth=1, residual=True, patch_size=16, groups=8),
        upsampler1024=_upsampler(256, channels=(8, 16), depth=1, residual=True, patch_size=32, groups=8),
        stages={
            "prior": StageConfig(ProcessConfig(x0_limit=5.0), SamplingDefaults("dpm++", 2)),
            "decoder": StageConfig(ProcessConfig(), SamplingDefaults("dpm++", 4, guidance_scale=2.0)),
            "upsampler256": StageConfig(ProcessConfig(), SamplingDefaults("dpm++", 2)),
            "upsampler1024": StageConfig(ProcessConfig("linear"), SamplingDefaults("dpm++", 2)),
        },
    )


def karlo() -> SystemConfig:
    """Karlo v1.0 alpha (kakaobrain/karlo) on CLIP ViT-L/14, up to 256 pixels, as diffusers runs it."""
    clip = ClipConfig(
        embed_dim=768,
        image_size=224,
        patch_size=14,
        image_width=1024,
        image_depth=24,
        image_heads=16,
        vocab_size=49_408,
        context_length=77,
        text_width=768,
        text_depth=12,
        text_heads=12,
        activation="quick_gelu",
        normalize=False,
    )
    unet = UNetConfig(
        in_channels=3,
        out_channels=6,
        channels=(320, 640, 960, 1280),
        depth=3,
        attention=(False, True, True, True),
        context_width=1536,
    )
    decoder = ProcessConfig("cosine_float32", prediction="eps", variance="learned_range")
    return SystemConfig(
        clip=clip,
        prior=_prior(clip, width=2048, depth=20, heads=32),
        prior_ar=None,
        decoder=DecoderConfig(clip.embed_dim, clip.text_width, unet),
        upsampler256=replace(
            _upsampler(64, channels=(320, 640, 960, 1280), depth=3, scale_shift=False), last_step=True
        ),
        upsampler1024=None,
        stages={
            "prior": StageConfig(
                ProcessConfig("cosine_float32", x0_limit=5.0),
                SamplingDefaults("ddpm", 25, guidance_scale=4.0),
            ),
            "decoder": StageConfig(decoder, SamplingDefaults("ddpm", 25, guidance_scale=8.0)),
            "upsampler256": StageConfig(
                ProcessConfig("cosine_float32", prediction="eps"), SamplingDefaults("ddpm", 7)
            ),
        },
    )


def paper() -> SystemConfig:
    """DALL-E 2 as published: Ramesh et al. 2022, appendix C and table 3.

    What this package does otherwise, and the sizes that come of it, are in docs/presets.md.
    """
    clip = ClipConfig(
        embed_dim=1024,
        image_size=256,
        patch_size=16,
        image_width=1280,
        image_depth=32,
        image_heads=16,
        vocab_size=49_408,
        context_length=256,
        text_width=1024,
        text_depth=24,
        text_heads=16,
    )
    unet = UNetConfig(
        in_channels=3,
        out_channels=6,
        channels=(512, 1024, 1536, 2048),
        depth=3,
        attention=(False, True, True, True),
        context_width=2048,
        dropout=0.1,
    )
    eps = ProcessConfig(prediction="eps")
    decoder = ProcessConfig(prediction="eps", variance="learned_range")
    return SystemConfig(
        clip=clip,
        prior=_prior(clip, width=2048, depth=24, heads=32),
        prior_ar=_prior_ar(clip, width=1664, depth=24, heads=26, components=319),
        decoder=DecoderConfig(clip.embed_dim, clip.text_width, unet, text_depth=24, text_heads=32),
        upsampler256=_upsampler(64, channels=(320, 640, 960, 1280), depth=3, dropout=0.1),
        upsampler1024=_upsampler(256, channels=(192, 192, 384, 384, 768, 768), depth=2),
        stages={
            "prior": StageConfig(ProcessConfig(x0_limit=5.0), SamplingDefaults("ddpm", 64)),
            "decoder": StageConfig(decoder, SamplingDefaults("ddpm", 250, guidance_scale=1.25)),
            "upsampler256": StageConfig(eps, SamplingDefaults("ddim", 27)),
            "upsampler1024": StageConfig(
                ProcessConfig("linear", prediction="eps"), SamplingDefaults("ddim", 15)
            ),
        },
    )


def _prior(clip: ClipConfig, width: int, depth: int, heads: int) -> PriorConfig:
    return PriorConfig(clip.embed_dim, clip.text_width, clip.context_length, width, depth, heads)


def _prior_ar(
    clip: ClipConfig, width: int, depth: int, heads: int, components: int, **tokens: int
) -> PriorArConfig:
    """`tokens` are further fields of PriorArConfig."""
    return PriorArConfig(
        clip.embed_dim, clip.text_width, clip.context_length, width, depth, heads, components, **tokens
    )


def _upsampler(
    low_size: int, channels: tuple[int, ...], depth: int, residual: bool = False, **unet: Any
) -> UpsamplerConfig:
    """Four times the side of `low_size`, without attention; `unet` are further fields of UNetConfig."""
    shape = UNetConfig(
        in_channels=6,
        out_channels=3,
        channels=channels,
        depth=depth,
        attention=(False,) * len(channels),
        mid_attention=False,
        **unet,
    )
    return UpsamplerConfig(low_size, 4 * low_size, shape, residual)
