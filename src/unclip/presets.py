"""The only literal sizes: each preset is a function that returns configs."""

from dataclasses import dataclass

from unclip.diffusion.process import ProcessConfig
from unclip.models.clip import ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.system import SamplingDefaults, StageConfig


@dataclass(frozen=True)
class SystemConfig:
    """The configs of a whole system."""

    clip: ClipConfig
    prior: PriorConfig
    decoder: DecoderConfig
    upsampler256: UpsamplerConfig
    upsampler1024: UpsamplerConfig
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
    decoder = UNetConfig(
        in_channels=3,
        out_channels=3,
        channels=(96, 128, 192),
        depth=1,
        attention=(False, True, True),
        context_width=192,
        head_width=32,
        patch_size=4,
        groups=16,
    )
    return SystemConfig(
        clip=clip,
        prior=PriorConfig(clip.embed_dim, clip.text_width, clip.context_length, width=192, depth=4, heads=4),
        decoder=DecoderConfig(clip.embed_dim, clip.text_width, decoder, image_size=64, text_depth=2, text_heads=6),
        upsampler256=_bundled_upsampler(64, channels=(48, 64), patch_size=4),
        upsampler1024=_bundled_upsampler(256, channels=(48, 64), patch_size=8),
        stages={
            "prior": StageConfig(ProcessConfig(x0_limit=5.0), SamplingDefaults("dpm++", 8)),
            "decoder": StageConfig(ProcessConfig(), SamplingDefaults("dpm++", 16, guidance_scale=2.0)),
            "upsampler256": StageConfig(ProcessConfig(), SamplingDefaults("dpm++", 2)),
            "upsampler1024": StageConfig(ProcessConfig("linear"), SamplingDefaults("dpm++", 2)),
        },
    )


def _bundled_upsampler(low_size: int, channels: tuple[int, ...], patch_size: int) -> UpsamplerConfig:
    unet = UNetConfig(
        in_channels=6,
        out_channels=3,
        channels=channels,
        depth=1,
        attention=(False,) * len(channels),
        mid_attention=False,
        patch_size=patch_size,
        groups=16,
    )
    return UpsamplerConfig(low_size, 4 * low_size, unet)
