"""The configs of a diffusers unCLIP folder, field by field, to ours (`diffusers_fields` has the way back).

Missing fields have the defaults of the classes in huggingface/diffusers 0.42.1 and huggingface/transformers
5.24: the oldest folders lack about 25 of them. Fields in the tables of fixed values must have those values,
since the networks here do nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from unclip.diffusion.process import PredictionType, ProcessConfig, VarianceType
from unclip.errors import CheckpointError
from unclip.models.clip import ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Fields:
    """The fields of one JSON file."""

    path: str  # what errors call it
    values: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a field's value, lists as tuples, or the default if it is missing."""
        value = self.values.get(name, default)
        return tuple(value) if isinstance(value, list) else value

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number above 0, the same everywhere if there are several. Raises CheckpointError."""
        value = self.get(name, default)
        if isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if type(value) is not int or value < 1:
            raise CheckpointError(
                f"{self.path}: {name} is {value!r}, where unclip needs a whole number above 0"
            )
        return value

    def numbers(self, name: str) -> tuple[int, ...]:
        """Return whole numbers above 0. Raises CheckpointError."""
        value = self.get(name)
        if not isinstance(value, tuple) or not value or not all(type(n) is int and n > 0 for n in value):
            raise CheckpointError(
                f"{self.path}: {name} is {value!r}, where unclip needs whole numbers above 0"
            )
        return value

    def check(self, fixed: Mapping[str, Any]) -> None:
        """Raise CheckpointError for fields that are there with another than the fixed value."""
        for name, value in fixed.items():
            if name in self.values and self.get(name) != value:
                raise CheckpointError(
                    f"{self.path}: {name} is {self.get(name)!r}, and unclip's networks know only {value!r}"
                )

    def fit(self, name: str, value: int | None, needed: int | None, other: "Fields") -> None:
        """Raise CheckpointError unless a value is the one that another component asks for."""
        if value != needed:
            raise CheckpointError(
                f"{self.path}: {name} is {value}, and {other.path} asks for {needed}: take all"
                " components from one model"
            )


FIXED_CLIP = {"attention_dropout": 0.0, "layer_norm_eps": 1e-5}
FIXED_PRIOR = {
    "additional_embeddings": 4,
    "time_embed_act_fn": "silu",
    "norm_in_type": None,
    "embedding_proj_norm_type": None,
    "encoder_hid_proj_type": "linear",
    "added_emb_type": "prd",
    "time_embed_dim": None,
    "embedding_proj_dim": None,
    "clip_embed_dim": None,
}
FIXED_UNET = {
    "act_fn": "silu",
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-5,
    "num_class_embeds": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
}
FIXED_DECODER = FIXED_UNET | {
    "addition_embed_type": None,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "mid_block_only_cross_attention": None,
    "num_attention_heads": None,
    "only_cross_attention": False,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
}
FIXED_UPSAMPLER = FIXED_UNET | {"attn_norm_num_groups": None, "class_embed_type": None}
FIXED_SCHEDULER = {"beta_schedule": "squaredcos_cap_v2"}

PLAIN, ATTENDING = "Resnet{}sampleBlock2D", "SimpleCrossAttn{}Block2D"  # with Down or Up in between
MIDDLE, MIDDLE_OF_DECODER = "UNetMidBlock2D", "UNetMidBlock2DSimpleCrossAttn"
PREDICTIONS: dict[str, PredictionType] = {"epsilon": "eps", "sample": "x0"}
VARIANCES: dict[str, VarianceType] = {"fixed_small_log": "fixed", "learned_range": "learned_range"}


def clip_config(text: Fields, vision: Fields | None, processor: Fields | None) -> ClipConfig:
    """Read CLIPTextConfig, and CLIPVisionConfig and CLIPImageProcessor where there is an image tower."""
    text.check(FIXED_CLIP)
    activation = text.get("hidden_act", "quick_gelu")
    config = ClipConfig(
        embed_dim=text.number("projection_dim", 512),
        image_size=0,
        patch_size=0,
        image_width=0,
        image_depth=0,
        image_heads=0,
        vocab_size=text.number("vocab_size", 49_408),
        context_length=text.number("max_position_embeddings", 77),
        text_width=text.number("hidden_size", 512),
        text_depth=text.number("num_hidden_layers", 12),
        text_heads=text.number("num_attention_heads", 8),
        activation=activation,
        normalize=False,
        text_mlp_width=text.number("intermediate_size", 2048),
    )
    text.check({"hidden_act": activation if activation in ("gelu", "quick_gelu") else "quick_gelu"})
    if vision is None:
        return config
    vision.check(FIXED_CLIP | {"hidden_act": activation, "num_channels": 3})
    vision.fit("projection_dim", vision.number("projection_dim", 512), config.embed_dim, text)
    processor = processor or Fields("", {})
    return replace(
        config,
        image_size=vision.number("image_size", 224),
        patch_size=vision.number("patch_size", 32),
        image_width=vision.number("hidden_size", 768),
        image_depth=vision.number("num_hidden_layers", 12),
        image_heads=vision.number("num_attention_heads", 12),
        image_mlp_width=vision.number("intermediate_size", 3072),
        pixel_mean=processor.get("image_mean", OPENAI_MEAN),
        pixel_std=processor.get("image_std", OPENAI_STD),
    )


def prior_config(prior: Fields, text: Fields, clip: ClipConfig) -> PriorConfig:
    """Read PriorTransformer, whose embeddings and encodings are of one width."""
    prior.check(FIXED_PRIOR)
    heads, width = prior.number("num_attention_heads", 32), prior.number("embedding_dim", 768)
    for asked in (clip.embed_dim, clip.text_width):
        prior.fit("embedding_dim", width, asked, text)
    prior.fit("num_embeddings", prior.number("num_embeddings", 77), clip.context_length, text)
    return PriorConfig(
        embed_dim=width,
        text_width=width,
        context_length=clip.context_length,
        width=heads * prior.number("attention_head_dim", 64),
        depth=prior.number("num_layers", 20),
        heads=heads,
    )


def decoder_config(decoder: Fields, text_proj: Fields, text: Fields, clip: ClipConfig) -> DecoderConfig:
    """Read UNet2DConditionModel and UnCLIPTextProjModel."""
    decoder.check(FIXED_DECODER)
    if decoder.get("class_embed_type") != "identity":
        raise CheckpointError(
            f"{decoder.path}: class_embed_type is not identity, as it is in unCLIP's decoders"
        )
    unet = _unet_config(decoder, context_width=decoder.number("cross_attention_dim", 1280))
    width = text_proj.number("clip_embeddings_dim", 768)
    for asked in (clip.embed_dim, clip.text_width):
        text_proj.fit("clip_embeddings_dim", width, asked, text)
    text_proj.fit("time_embed_dim", text_proj.get("time_embed_dim"), unet.embed_width, decoder)
    text_proj.fit("cross_attention_dim", text_proj.get("cross_attention_dim"), unet.context_width, decoder)
    return DecoderConfig(
        width,
        width,
        unet,
        image_size=decoder.number("sample_size"),
        image_tokens=text_proj.number("clip_extra_context_tokens", 4),
    )


def upsampler_config(first: Fields, last: Fields, low_size: int) -> UpsamplerConfig:
    """Read two of UNet2DModel, of which the second takes the last step and may not say its size."""
    first.check(FIXED_UPSAMPLER)
    last.check(FIXED_UPSAMPLER)
    unet = _unet_config(first)
    if _unet_config(last) != unet:
        raise CheckpointError(f"{last.path}: its network is of another shape than that of {first.path}")
    return UpsamplerConfig(low_size, first.number("sample_size"), unet, last_step=True)


def _unet_config(fields: Fields, context_width: int | None = None) -> UNetConfig:
    channels = fields.numbers("block_out_channels")
    attention = _attention(fields, "Down", "down_block_types", len(channels))
    if _attention(fields, "Up", "up_block_types", len(channels)) != attention[::-1]:
        raise CheckpointError(
            f"{fields.path}: the levels of up_block_types are not those of down_block_types"
        )
    middle = MIDDLE if context_width is None else MIDDLE_OF_DECODER
    default = MIDDLE if context_width is None else "UNetMidBlock2DCrossAttn"
    if fields.get("mid_block_type", default) != middle:
        raise CheckpointError(f"{fields.path}: mid_block_type is not {middle}, which unCLIP's networks have")
    return UNetConfig(
        in_channels=fields.number("in_channels", 3 if context_width is None else 4),
        out_channels=fields.number("out_channels", 3 if context_width is None else 4),
        channels=channels,
        depth=fields.number("layers_per_block", 2),
        attention=attention,
        mid_attention=context_width is not None or bool(fields.get("add_attention", True)),
        context_width=context_width,
        head_width=fields.number("attention_head_dim", 8),
        scale_shift=fields.get("resnet_time_scale_shift", "default") == "scale_shift",
        groups=fields.number("norm_num_groups", 32),
        dropout=fields.get("dropout", 0.0),
    )


def _attention(fields: Fields, way: str, name: str, levels: int) -> tuple[bool, ...]:
    kinds = fields.get(name, ())
    known = {PLAIN.format(way): False, ATTENDING.format(way): True}
    if len(kinds) != levels or not set(kinds) <= known.keys():
        raise CheckpointError(
            f"{fields.path}: {name} is {list(kinds)}, where unclip needs {levels} of {', '.join(known)}"
        )
    return tuple(known[kind] for kind in kinds)


def process_config(scheduler: Fields) -> ProcessConfig:
    """Read UnCLIPScheduler."""
    scheduler.check(FIXED_SCHEDULER)
    prediction = scheduler.get("prediction_type", "epsilon")
    variance = scheduler.get("variance_type", "fixed_small_log")
    scheduler.check(
        {
            "prediction_type": prediction if prediction in PREDICTIONS else "epsilon",
            "variance_type": variance if variance in VARIANCES else "fixed_small_log",
        }
    )
    clips = scheduler.get("clip_sample", True)
    return ProcessConfig(
        "cosine_float32",
        num_train_steps=scheduler.number("num_train_timesteps", 1000),
        prediction=PREDICTIONS[prediction],
        variance=VARIANCES[variance],
        x0_limit=float(scheduler.get("clip_sample_range", 1.0)) if clips else math.inf,
    )
