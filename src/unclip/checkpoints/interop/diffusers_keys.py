"""The tensors of a diffusers unCLIP folder, by the name of their component: `prior/proj_in.weight`.

Source: huggingface/diffusers 0.42.1 and huggingface/transformers 5.24, from the classes that
`model_index.json` names.
"""

from collections.abc import Iterator

from unclip.checkpoints.interop.links import ROW, Link, layer
from unclip.models.clip import ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig

CONSTANT = "constant/"  # before the names of tensors that no folder holds


def clip_links(config: ClipConfig) -> list[Link]:
    """CLIPTextModelWithProjection, and CLIPVisionModelWithProjection where there is an image tower."""
    text = "text_encoder/text_model"
    links = [
        Link("logit_scale", (f"{CONSTANT}logit_scale",)),
        Link("text.tokens.weight", (f"{text}.embeddings.token_embedding.weight",)),
        Link("text.positions", (f"{text}.embeddings.position_embedding.weight",)),
        *layer("text.norm_out", f"{text}.final_layer_norm"),
        Link("text.project.weight", ("text_encoder/text_projection.weight",)),
        *_clip_blocks("text", text, config.text_depth),
    ]
    if not config.image_size:
        return links
    image = "image_encoder/vision_model"
    return [
        *links,
        Link("image.patches.weight", (f"{image}.embeddings.patch_embedding.weight",)),
        Link("image.class_token", (f"{image}.embeddings.class_embedding",)),
        Link("image.positions", (f"{image}.embeddings.position_embedding.weight",)),
        *layer("image.norm_in", f"{image}.pre_layrnorm"),  # the spelling is theirs
        *layer("image.norm_out", f"{image}.post_layernorm"),
        Link("image.project.weight", ("image_encoder/visual_projection.weight",)),
        *_clip_blocks("image", image, config.image_depth),
    ]


def _clip_blocks(tower: str, theirs: str, depth: int) -> Iterator[Link]:
    for i in range(depth):
        block, there = f"{tower}.transformer.blocks.{i}", f"{theirs}.encoder.layers.{i}"
        yield from layer(f"{block}.norm_1", f"{there}.layer_norm1")
        yield from layer(f"{block}.attention.qkv", *(f"{there}.self_attn.{x}_proj" for x in "qkv"))
        yield from layer(f"{block}.attention.out", f"{there}.self_attn.out_proj")
        yield from layer(f"{block}.norm_2", f"{there}.layer_norm2")
        yield from layer(f"{block}.widen", f"{there}.mlp.fc1")
        yield from layer(f"{block}.narrow", f"{there}.mlp.fc2")


def prior_links(config: PriorConfig) -> list[Link]:
    """PriorTransformer."""
    links = [
        Link("clip_mean", ("prior/clip_mean",), ROW),
        Link("clip_std", ("prior/clip_std",), ROW),
        Link("positions", ("prior/positional_embedding",)),
        Link("query", ("prior/prd_embedding",)),
        *layer("project_encodings", "prior/encoder_hidden_states_proj"),
        *layer("project_text", "prior/embedding_proj"),
        *layer("project_image", "prior/proj_in"),
        *_time("time", "prior/time_embedding"),
        *layer("norm_out", "prior/norm_out"),
        *layer("project_out", "prior/proj_to_clip_embeddings"),
    ]
    for i in range(config.depth):
        block, there = f"transformer.blocks.{i}", f"prior/transformer_blocks.{i}"
        links += [
            *layer(f"{block}.norm_1", f"{there}.norm1"),
            *layer(f"{block}.attention.qkv", *(f"{there}.attn1.to_{x}" for x in "qkv")),
            *layer(f"{block}.attention.out", f"{there}.attn1.to_out.0"),
            *layer(f"{block}.norm_2", f"{there}.norm3"),
            *layer(f"{block}.widen", f"{there}.ff.net.0.proj"),
            *layer(f"{block}.narrow", f"{there}.ff.net.2"),
        ]
    return links


def decoder_links(config: DecoderConfig) -> list[Link]:
    """UNet2DConditionModel and UnCLIPTextProjModel."""
    return [
        Link("null_image_embed", ("text_proj/learned_classifier_free_guidance_embeddings",)),
        *layer("add_text", "text_proj/embedding_proj"),
        *layer("add_image", "text_proj/clip_image_embeddings_project_to_time_embeddings"),
        *layer("image_context", "text_proj/clip_extra_context_tokens_proj"),
        *layer("project_encodings", "text_proj/encoder_hidden_states_proj"),
        *layer("norm_encodings", "text_proj/text_encoder_hidden_states_norm"),
        *_unet("unet", "decoder/", config.unet),
    ]


def upsampler_links(config: UpsamplerConfig) -> list[Link]:
    """Two of UNet2DModel, which are one and the same where ours has no second network."""
    last = "last_unet" if config.last_step else "unet"
    return [
        *_unet("unet", "super_res_first/", config.unet),
        *_unet(last, "super_res_last/", config.unet),
    ]


def _time(ours: str, theirs: str) -> list[Link]:
    return [
        *layer(f"{ours}.linear_1", f"{theirs}.linear_1"),
        *layer(f"{ours}.linear_2", f"{theirs}.linear_2"),
    ]


def _unet(ours: str, theirs: str, config: UNetConfig) -> Iterator[Link]:
    levels = len(config.channels)
    widths = list(config.channels)
    yield from _time(f"{ours}.time", f"{theirs}time_embedding")
    yield from layer(f"{ours}.conv_in", f"{theirs}conv_in")
    skips = [widths[0]]
    for i, out in enumerate(widths):
        stage, there = f"{ours}.down.{i}", f"{theirs}down_blocks.{i}"
        for j in range(config.depth):
            yield from _block(f"{stage}.blocks.{j}", f"{there}.resnets.{j}", shortcut=skips[-1] != out)
            if config.attention[i]:
                yield from _attention(f"{stage}.attentions.{j}", f"{there}.attentions.{j}", config)
            skips.append(out)
        if i < levels - 1:
            yield from _block(f"{stage}.resize", f"{there}.downsamplers.0", shortcut=False)
            skips.append(out)

    yield from _block(f"{ours}.mid_1", f"{theirs}mid_block.resnets.0", shortcut=False)
    if config.mid_attention:
        yield from _attention(f"{ours}.mid_attention", f"{theirs}mid_block.attentions.0", config)
    yield from _block(f"{ours}.mid_2", f"{theirs}mid_block.resnets.1", shortcut=False)

    for i in range(levels):
        stage, there = f"{ours}.up.{i}", f"{theirs}up_blocks.{i}"
        for j in range(config.depth + 1):  # each takes in a skip, and so changes the number of channels
            yield from _block(f"{stage}.blocks.{j}", f"{there}.resnets.{j}", shortcut=True)
            if config.attention[levels - 1 - i]:
                yield from _attention(f"{stage}.attentions.{j}", f"{there}.attentions.{j}", config)
        if i < levels - 1:
            yield from _block(f"{stage}.resize", f"{there}.upsamplers.0", shortcut=False)
    yield from layer(f"{ours}.norm_out", f"{theirs}conv_norm_out")
    yield from layer(f"{ours}.conv_out", f"{theirs}conv_out")


def _block(ours: str, theirs: str, shortcut: bool) -> Iterator[Link]:
    names = {
        "norm_1": "norm1",
        "conv_1": "conv1",
        "embed": "time_emb_proj",
        "norm_2": "norm2",
        "conv_2": "conv2",
    }
    for name, there in names.items():
        yield from layer(f"{ours}.{name}", f"{theirs}.{there}")
    if shortcut:
        yield from layer(f"{ours}.skip", f"{theirs}.conv_shortcut")


def _attention(ours: str, theirs: str, config: UNetConfig) -> Iterator[Link]:
    yield from layer(f"{ours}.norm", f"{theirs}.group_norm")
    yield from layer(f"{ours}.qkv", *(f"{theirs}.to_{x}" for x in "qkv"))
    if config.context_width is not None:
        yield from layer(f"{ours}.context_kv", f"{theirs}.add_k_proj", f"{theirs}.add_v_proj")
    yield from layer(f"{ours}.out", f"{theirs}.to_out.0")
