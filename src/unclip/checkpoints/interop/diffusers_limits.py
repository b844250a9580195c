"""What the classes of diffusers cannot be told of a model, by our names of it.

Source: PriorTransformer, UnCLIPTextProjModel, UNet2DConditionModel, UNet2DModel and UnCLIPScheduler of
huggingface/diffusers 0.42.1.
"""

from collections.abc import Iterator
from typing import Any

from unclip.models.clip import ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.system import Stage, System


def obstacles(system: System) -> list[str]:
    """Return all reasons, by stage and field, why a system is none of diffusers'; none if it is."""
    found = [*_unlike_clip(system.clip.config)]
    if system.prior is not None:
        found += _unlike_process("prior", system.prior, variance=("fixed",))
    elif not system.clip.config.image_size:
        found.append("there is neither a prior nor an image encoder")
    if system.decoder is None:
        return [*found, "there is no decoder" + (" but a distilled one" if system.distilled else "")]
    found += _unlike_decoder(system.decoder.network.config)
    found += _unlike_process("decoder", system.decoder)
    if not system.upsamplers:
        return [*found, "there is no upsampler"]
    upsampler = system.upsamplers[0]
    found += _unlike_upsampler(upsampler.network.config, system.decoder.network.config.image_size)
    found += _unlike_process(_name(upsampler.network.config), upsampler)
    return found


def _unlike(where: str, values: Any, **known: tuple[Any, ...]) -> Iterator[str]:
    """Name the fields whose values are none of those that are known there."""
    for name, allowed in known.items():
        if (value := getattr(values, name)) not in allowed:
            yield f"{where}.{name} is {value!r} instead of {' or '.join(map(repr, allowed))}"


def _unlike_clip(config: ClipConfig) -> Iterator[str]:
    # Neither PriorTransformer nor UnCLIPTextProjModel has a second width for the encodings.
    return _unlike("clip", config, normalize=(False,), text_width=(config.embed_dim,))


def _unlike_process(where: str, stage: Stage[Any], **known: tuple[Any, ...]) -> Iterator[str]:
    schedules, predictions = ("cosine", "cosine_float32"), ("eps", "x0")
    return _unlike(where, stage.process.config, schedule=schedules, prediction=predictions, **known)


def _unlike_decoder(config: DecoderConfig) -> Iterator[str]:
    yield from _unlike("decoder", config, text_depth=(0,), embed_scale=(1.0,), guided=(False,))
    yield from _unlike("decoder.unet", config.unet, mid_attention=(True,))
    yield from _unlike_unet("decoder.unet", config.unet)


def _unlike_upsampler(config: UpsamplerConfig, low_size: int) -> Iterator[str]:
    where, unet = _name(config), config.unet
    yield from _unlike(where, config, residual=(False,), low_size=(low_size,))
    yield from _unlike(f"{where}.unet", unet, attention=((False,) * len(unet.channels),))
    if unet.scale_shift:  # then UNet2DModel normalises nothing before it attends
        yield from _unlike(f"{where}.unet", unet, mid_attention=(False,))
    yield from _unlike_unet(f"{where}.unet", unet)


def _unlike_unet(where: str, config: UNetConfig) -> Iterator[str]:
    yield from _unlike(where, config, patch_size=(1,), place_width=(0,))
    attending = [n for n, attends in zip(config.channels, config.attention, strict=True) if attends]
    attending += config.channels[-1:] if config.mid_attention else ()
    for channels in sorted(set(attending)):
        if channels % config.head_width:  # ours has wider heads then
            yield f"{where}.head_width is {config.head_width} instead of a divisor of {channels}"


def _name(config: UpsamplerConfig) -> str:
    return f"upsampler{config.image_size}"
