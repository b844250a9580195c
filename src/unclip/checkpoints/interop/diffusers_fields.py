"""Our configs as the JSON files of a diffusers unCLIP folder; `diffusers_configs` reads them."""

import math
from collections.abc import Mapping
from typing import Any

from unclip.checkpoints.interop.diffusers_configs import (
    ATTENDING,
    FIXED_CLIP,
    FIXED_DECODER,
    FIXED_PRIOR,
    FIXED_SCHEDULER,
    FIXED_UPSAMPLER,
    MIDDLE,
    MIDDLE_OF_DECODER,
    PLAIN,
    PREDICTIONS,
    VARIANCES,
)
from unclip.diffusion.process import ProcessConfig
from unclip.models.clip import ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.system import System

DIFFUSERS = "0.42.1"
"""The version that files say they are of."""

CLASSES = {
    "text_encoder": ("transformers", "CLIPTextModelWithProjection"),
    "text_proj": ("unclip", "UnCLIPTextProjModel"),  # the library is a module of diffusers' pipelines
    "prior": ("diffusers", "PriorTransformer"),
    "prior_scheduler": ("diffusers", "UnCLIPScheduler"),
    "decoder": ("diffusers", "UNet2DConditionModel"),
    "decoder_scheduler": ("diffusers", "UnCLIPScheduler"),
    "super_res_first": ("diffusers", "UNet2DModel"),
    "super_res_last": ("diffusers", "UNet2DModel"),
    "super_res_scheduler": ("diffusers", "UnCLIPScheduler"),
    "feature_extractor": ("transformers", "CLIPImageProcessor"),
    "image_encoder": ("transformers", "CLIPVisionModelWithProjection"),
}
"""Library and class of every component but the tokenizer, as Karlo's own folders have them."""


def config_files(system: System, ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Return the configs of all components by their files; `ids` are those of the tokenizer's marks."""
    assert system.decoder is not None
    clip, decoder, upsampler = system.clip.config, system.decoder, system.upsamplers[0]
    files = {
        "text_encoder/config.json": text_fields(clip, ids),
        "text_proj/config.json": text_proj_fields(decoder.network.config),
        "decoder/config.json": decoder_fields(decoder.network.config),
        "decoder_scheduler/scheduler_config.json": scheduler_fields(decoder.process.config),
        "super_res_first/config.json": upsampler_fields(upsampler.network.config),
        "super_res_last/config.json": upsampler_fields(upsampler.network.config),
        "super_res_scheduler/scheduler_config.json": scheduler_fields(upsampler.process.config),
    }
    if system.prior is not None:
        files["prior/config.json"] = prior_fields(system.prior.network.config)
        files["prior_scheduler/scheduler_config.json"] = scheduler_fields(system.prior.process.config)
    if clip.image_size:
        files["image_encoder/config.json"] = image_fields(clip)
        files["feature_extractor/preprocessor_config.json"] = processor_fields(clip)
    return {file: _header(file.partition("/")[0]) | values for file, values in files.items()}


def _header(component: str) -> dict[str, Any]:
    """Return the fields by which a file says whose it is."""
    library, name = CLASSES[component]
    if library != "transformers":
        return {"_class_name": name, "_diffusers_version": DIFFUSERS}
    return {"image_processor_type": name} if component == "feature_extractor" else {"architectures": [name]}


def text_fields(clip: ClipConfig, ids: Mapping[str, int]) -> dict[str, Any]:
    """CLIPTextConfig; `ids` are those of the marks, by field."""
    return FIXED_CLIP | {
        "model_type": "clip_text_model",
        "projection_dim": clip.embed_dim,
        "vocab_size": clip.vocab_size,
        "max_position_embeddings": clip.context_length,
        "hidden_size": clip.text_width,
        "num_hidden_layers": clip.text_depth,
        "num_attention_heads": clip.text_heads,
        "intermediate_size": clip.text_mlp_width or 4 * clip.text_width,
        "hidden_act": clip.activation,
        **ids,
    }


def image_fields(clip: ClipConfig) -> dict[str, Any]:
    """CLIPVisionConfig."""
    return FIXED_CLIP | {
        "model_type": "clip_vision_model",
        "projection_dim": clip.embed_dim,
        "image_size": clip.image_size,
        "patch_size": clip.patch_size,
        "num_channels": 3,
        "hidden_size": clip.image_width,
        "num_hidden_layers": clip.image_depth,
        "num_attention_heads": clip.image_heads,
        "intermediate_size": clip.image_mlp_width or 4 * clip.image_width,
        "hidden_act": clip.activation,
    }


def processor_fields(clip: ClipConfig) -> dict[str, Any]:
    """CLIPImageProcessor: the middle square of a picture, at the size that the tower sees."""
    side = clip.image_size
    return {
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,  # bicubic
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": clip.pixel_mean,
        "image_std": clip.pixel_std,
        "do_convert_rgb": True,
    }


def prior_fields(prior: PriorConfig) -> dict[str, Any]:
    """PriorTransformer."""
    return FIXED_PRIOR | {
        "embedding_dim": prior.embed_dim,
        "num_embeddings": prior.context_length,
        "num_attention_heads": prior.heads,
        "attention_head_dim": prior.width // prior.heads,
        "num_layers": prior.depth,
        "dropout": 0.0,
    }


def text_proj_fields(decoder: DecoderConfig) -> dict[str, Any]:
    """UnCLIPTextProjModel."""
    return {
        "clip_embeddings_dim": decoder.embed_dim,
        "clip_extra_context_tokens": decoder.image_tokens,
        "time_embed_dim": decoder.unet.embed_width,
        "cross_attention_dim": decoder.unet.context_width,
    }


def decoder_fields(decoder: DecoderConfig) -> dict[str, Any]:
    """UNet2DConditionModel."""
    return {
        **FIXED_DECODER,
        **_unet_fields(decoder.unet),
        "sample_size": decoder.image_size,
        "mid_block_type": MIDDLE_OF_DECODER,
        "cross_attention_dim": decoder.unet.context_width,
        "class_embed_type": "identity",
    }


def upsampler_fields(upsampler: UpsamplerConfig) -> dict[str, Any]:
    """UNet2DModel."""
    return {
        **FIXED_UPSAMPLER,
        **_unet_fields(upsampler.unet),
        "sample_size": upsampler.image_size,
        "mid_block_type": MIDDLE,
        "add_attention": upsampler.unet.mid_attention,
    }


def _unet_fields(unet: UNetConfig) -> dict[str, Any]:
    kinds = [ATTENDING if attends else PLAIN for attends in unet.attention]
    return {
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "block_out_channels": unet.channels,
        "layers_per_block": unet.depth,
        "down_block_types": [kind.format("Down") for kind in kinds],
        "up_block_types": [kind.format("Up") for kind in reversed(kinds)],
        "attention_head_dim": unet.head_width,
        "resnet_time_scale_shift": "scale_shift" if unet.scale_shift else "default",
        "norm_num_groups": unet.groups,
        "dropout": unet.dropout,
    }


def scheduler_fields(process: ProcessConfig) -> dict[str, Any]:
    """UnCLIPScheduler."""
    clips = process.x0_limit < math.inf
    return FIXED_SCHEDULER | {
        "num_train_timesteps": process.num_train_steps,
        "prediction_type": _named(PREDICTIONS, process.prediction),
        "variance_type": _named(VARIANCES, process.variance),
        "clip_sample": clips,
        "clip_sample_range": process.x0_limit if clips else 1.0,
    }


def _named(names: Mapping[str, str], ours: str) -> str:
    """Return what diffusers calls it."""
    return next(name for name, value in names.items() if value == ours)
