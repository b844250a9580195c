"""A tiny diffusers unCLIP folder with random weights, built by the classes that it is for."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the peers' own
    diffusers: Any = pytest.importorskip("diffusers")
    transformers: Any = pytest.importorskip("transformers")
    pipelines: Any = pytest.importorskip("diffusers.pipelines.deprecated.unclip")
    text_proj: Any = pytest.importorskip("diffusers.pipelines.deprecated.unclip.text_proj")

PARTS = {
    "prior": "diffusers.PriorTransformer",
    "decoder": "diffusers.UNet2DConditionModel",
    "super_res_first": "diffusers.UNet2DModel",
    "super_res_last": "diffusers.UNet2DModel",
    "text_encoder": "transformers.CLIPTextModelWithProjection",
    "image_encoder": "transformers.CLIPVisionModelWithProjection",
    "prior_scheduler": "diffusers.UnCLIPScheduler",
    "decoder_scheduler": "diffusers.UnCLIPScheduler",
    "super_res_scheduler": "diffusers.UnCLIPScheduler",
}
CLIP = {"hidden_size": 32, "projection_dim": 32, "intermediate_size": 37, "num_attention_heads": 4}
LEVELS = {"block_out_channels": (32, 64), "layers_per_block": 1}


def tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer with a vocabulary of bytes and one merge, padded with "!" as Karlo's is."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    pieces = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "at</w>",
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\na t</w>\n")
    return transformers.CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        model_max_length=77,
        pad_token="!",
    )


def networks() -> dict[str, Any]:
    """Build every network in evaluation mode; what starts at zero is random, or it would tell nothing."""
    torch.manual_seed(0)
    kinds = "Resnet{}sampleBlock2D", "SimpleCrossAttn{}Block2D"
    upsampler = {
        "sample_size": 64,
        "in_channels": 6,
        "out_channels": 3,
        "down_block_types": (kinds[0].format("Down"),) * 2,
        "up_block_types": (kinds[0].format("Up"),) * 2,
        "add_attention": False,
        **LEVELS,
    }
    vision = transformers.CLIPVisionConfig(**CLIP, num_hidden_layers=2, image_size=32, patch_size=4)
    text = transformers.CLIPTextConfig(
        **CLIP, num_hidden_layers=2, vocab_size=1000, bos_token_id=0, eos_token_id=2, pad_token_id=1
    )
    found = {
        "text_encoder": transformers.CLIPTextModelWithProjection(text),
        "image_encoder": transformers.CLIPVisionModelWithProjection(vision),
        "prior": diffusers.PriorTransformer(
            num_attention_heads=2, attention_head_dim=12, embedding_dim=32, num_layers=2
        ),
        "text_proj": text_proj.UnCLIPTextProjModel(
            clip_embeddings_dim=32, time_embed_dim=128, cross_attention_dim=100
        ),
        "decoder": diffusers.UNet2DConditionModel(
            sample_size=32,
            in_channels=3,
            out_channels=6,
            down_block_types=(kinds[0].format("Down"), kinds[1].format("Down")),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=(kinds[1].format("Up"), kinds[0].format("Up")),
            cross_attention_dim=100,
            attention_head_dim=4,
            resnet_time_scale_shift="scale_shift",
            class_embed_type="identity",
            **LEVELS,
        ),
        "super_res_first": diffusers.UNet2DModel(**upsampler),
        "super_res_last": diffusers.UNet2DModel(**upsampler),
    }
    with torch.no_grad():
        prior = found["prior"]
        for tensor in (prior.clip_mean, prior.prd_embedding, prior.positional_embedding):
            tensor.normal_()
        prior.clip_std.normal_().abs_()
        found["text_proj"].learned_classifier_free_guidance_embeddings.normal_()
    return {name: network.eval() for name, network in found.items()}


def schedulers() -> dict[str, Any]:
    """Build Karlo's three."""

    def scheduler(**settings: Any) -> Any:
        return diffusers.UnCLIPScheduler(num_train_timesteps=1000, **settings)

    return {
        "prior_scheduler": scheduler(prediction_type="sample", clip_sample_range=5.0),
        "decoder_scheduler": scheduler(variance_type="learned_range"),
        "super_res_scheduler": scheduler(),
    }


def build(folder: Path, variations: bool = False) -> Any:
    """Save a pipeline's folder as diffusers does, and return the pipeline."""
    folder.mkdir(parents=True)
    parts = {**networks(), **schedulers(), "tokenizer": tokenizer(folder.parent)}
    if variations:
        for name in ("prior", "prior_scheduler"):
            parts.pop(name)
        parts["feature_extractor"] = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
        pipe = pipelines.UnCLIPImageVariationPipeline(**parts)
    else:
        parts.pop("image_encoder")
        pipe = pipelines.UnCLIPPipeline(**parts)
    pipe.save_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe
