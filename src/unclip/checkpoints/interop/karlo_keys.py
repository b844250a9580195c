"""The tensors of the original Karlo's checkpoints, and of the statistics that its prior needs.

Source: kakaobrain/karlo at 3c68a50, modules/unet.py and modules/xf.py. Its own loaders are strict and its
buffers are not stored, so there is no name to ignore.
"""

from collections.abc import Iterator

from einops import rearrange

from unclip.checkpoints.interop.links import STACKED, Form, Link, layer
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig

STATISTICS = "statistics/"  # before the names of the mean and the deviation, which lie in a file of their own


def interleaved(parts: int, head_width: int) -> Form:
    """Rows of several projections, below each other here and by turns head by head over there."""
    return Form(
        lambda theirs: rearrange(theirs[0], "(h x k) ... -> (x h k) ...", x=parts, k=head_width),
        lambda ours, _: [rearrange(ours, "(x h k) ... -> (h x k) ...", x=parts, k=head_width)],
    )


def pointwise(form: Form) -> Form:
    """A linear layer that is a convolution of width 1 over there."""
    return Form(
        lambda theirs: form.join([part.squeeze(-1) for part in theirs]),
        lambda ours, count: [part.unsqueeze(-1) for part in form.split(ours, count)],
    )


def prior_links(config: PriorConfig) -> list[Link]:
    """PriorDiffusionModel, and the statistics of CLIP's image embeddings."""
    turns = interleaved(3, config.width // config.heads)
    links = [
        Link("clip_mean", (f"{STATISTICS}mean",)),
        Link("clip_std", (f"{STATISTICS}std",)),
        Link("positions", ("model.positional_embedding",)),
        Link("query", ("model.prd_emb",)),
        *layer("project_encodings", "model.text_enc_proj"),
        *layer("project_text", "model.text_emb_proj"),
        *layer("project_image", "model.clip_img_proj"),
        *_time("time", "model.time_embed"),
        *layer("norm_out", "model.final_ln"),
        *layer("project_out", "model.out_proj"),
    ]
    for i in range(config.depth):
        block, there = f"transformer.blocks.{i}", f"model.transformer.resblocks.{i}"
        links += [
            *layer(f"{block}.norm_1", f"{there}.ln_1"),
            *_layer(f"{block}.attention.qkv", f"{there}.attn.c_qkv", turns, turns),
            *layer(f"{block}.attention.out", f"{there}.attn.c_proj"),
            *layer(f"{block}.norm_2", f"{there}.ln_2"),
            *layer(f"{block}.widen", f"{there}.mlp.c_fc"),
            *layer(f"{block}.narrow", f"{there}.mlp.c_proj"),
        ]
    return links


def decoder_links(config: DecoderConfig) -> list[Link]:
    """Text2ImProgressiveModel."""
    return [
        Link("null_image_embed", ("model.cf_param",)),
        *layer("add_text", "model.text_feat_proj"),
        *layer("add_image", "model.clip_emb"),
        *layer("image_context", "model.clip_tok_proj"),
        *layer("project_encodings", "model.text_seq_proj.0"),
        *layer("norm_encodings", "model.text_seq_proj.1"),
        *_unet("unet", "model", config.unet),
    ]


def upsampler_links(config: UpsamplerConfig) -> list[Link]:
    """ImprovedSupRes64to256ProgressiveModel."""
    return [
        *_unet("unet", "model_first_steps", config.unet),
        *_unet("last_unet", "model_last_step", config.unet),
    ]


def _layer(ours: str, theirs: str, weight: Form, bias: Form) -> list[Link]:
    return [
        Link(f"{ours}.weight", (f"{theirs}.weight",), weight),
        Link(f"{ours}.bias", (f"{theirs}.bias",), bias),
    ]


def _time(ours: str, theirs: str) -> list[Link]:
    return [*layer(f"{ours}.linear_1", f"{theirs}.0"), *layer(f"{ours}.linear_2", f"{theirs}.2")]


def _unet(ours: str, theirs: str, config: UNetConfig) -> Iterator[Link]:
    """Link a U-Net, whose blocks are numbered through all levels over there."""
    widths, last = config.channels, len(config.channels) - 1
    yield from _time(f"{ours}.time", f"{theirs}.time_embed")
    yield from layer(f"{ours}.conv_in", f"{theirs}.input_blocks.0.0")
    enters = widths[0]
    for i, out in enumerate(widths):
        stage, first = f"{ours}.down.{i}", 1 + i * (config.depth + 1)
        for j in range(config.depth):
            there = f"{theirs}.input_blocks.{first + j}"
            yield from _block(f"{stage}.blocks.{j}", f"{there}.0", shortcut=enters != out)
            if config.attention[i]:
                yield from _attention(f"{stage}.attentions.{j}", f"{there}.1", config)
            enters = out
        if i < last:
            there = f"{theirs}.input_blocks.{first + config.depth}"
            yield from _block(f"{stage}.resize", f"{there}.0", shortcut=False)

    middle = [f"{theirs}.middle_block.{k}" for k in range(2 + config.mid_attention)]
    yield from _block(f"{ours}.mid_1", middle[0], shortcut=False)
    if config.mid_attention:
        yield from _attention(f"{ours}.mid_attention", middle[1], config)
    yield from _block(f"{ours}.mid_2", middle[-1], shortcut=False)

    for i in range(last + 1):
        stage, first, attends = f"{ours}.up.{i}", i * (config.depth + 1), config.attention[last - i]
        for j in range(config.depth + 1):  # each takes in a skip, and so changes the number of channels
            there = f"{theirs}.output_blocks.{first + j}"
            yield from _block(f"{stage}.blocks.{j}", f"{there}.0", shortcut=True)
            if attends:
                yield from _attention(f"{stage}.attentions.{j}", f"{there}.1", config)
        if i < last:  # within the level's last block, behind the attention
            there = f"{theirs}.output_blocks.{first + config.depth}"
            yield from _block(f"{stage}.resize", f"{there}.{1 + attends}", shortcut=False)
    yield from layer(f"{ours}.norm_out", f"{theirs}.out.0")
    yield from layer(f"{ours}.conv_out", f"{theirs}.out.2")


def _block(ours: str, theirs: str, shortcut: bool) -> Iterator[Link]:
    names = {
        "norm_1": "in_layers.0",
        "conv_1": "in_layers.2",
        "embed": "emb_layers.1",
        "norm_2": "out_layers.0",
        "conv_2": "out_layers.3",
    }
    for name, there in names.items():
        yield from layer(f"{ours}.{name}", f"{theirs}.{there}")
    if shortcut:
        yield from layer(f"{ours}.skip", f"{theirs}.skip_connection")


def _attention(ours: str, theirs: str, config: UNetConfig) -> Iterator[Link]:
    yield from layer(f"{ours}.norm", f"{theirs}.norm")
    turns = interleaved(3, config.head_width)
    yield from _layer(f"{ours}.qkv", f"{theirs}.qkv", pointwise(turns), turns)
    if config.context_width is not None:
        turns = interleaved(2, config.head_width)
        yield from _layer(f"{ours}.context_kv", f"{theirs}.encoder_kv", pointwise(turns), turns)
    yield from _layer(f"{ours}.out", f"{theirs}.proj_out", pointwise(STACKED), STACKED)
