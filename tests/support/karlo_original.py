"""Tiny networks with the tensors and the maths of the original Karlo, written anew, and files like its own.

Source: kakaobrain/karlo at 3c68a50, modules/unet.py, modules/xf.py and models/.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from unclip.checkpoints.interop.clip_folder import whole_links
from unclip.checkpoints.interop.links import exported
from unclip.checkpoints.store import build
from unclip.checkpoints.tensors import write_tensors
from unclip.models.clip import Clip, ClipConfig
from unclip.models.decoder import DecoderConfig
from unclip.models.prior import PriorConfig
from unclip.models.unet import UNetConfig
from unclip.models.upsampler import UpsamplerConfig
from unclip.nn.embeddings import timestep_embedding

LENGTH = 12  # tokens of a sentence
CLIP = ClipConfig(
    embed_dim=16,
    image_size=8,
    patch_size=4,
    image_width=24,
    image_depth=1,
    image_heads=2,
    vocab_size=514,
    context_length=LENGTH,
    text_width=16,
    text_depth=2,
    text_heads=2,
    activation="quick_gelu",
    normalize=False,
    image_mlp_width=40,
    text_mlp_width=36,
)
PRIOR = PriorConfig(embed_dim=16, text_width=16, context_length=LENGTH, width=32, depth=2, heads=4)
UNET = UNetConfig(3, 6, (32, 64, 64), 2, (False, True, True), context_width=24, head_width=16)
DECODER = DecoderConfig(embed_dim=16, text_width=16, unet=UNET, image_size=16)
UPSAMPLER = UpsamplerConfig(
    low_size=16,
    image_size=32,
    unet=UNetConfig(6, 3, (32, 64), 1, (False, False), mid_attention=False, scale_shift=False),
    last_step=True,
)
NAMES = ("prior-ckpt-step=1.ckpt", "decoder-ckpt-step=1.ckpt", "improved-sr-ckpt-step=1.ckpt", "stats.th")


def attended(qkv: Tensor, context_kv: Tensor | None, mask: Tensor | None, heads: int) -> Tensor:
    """Attend among columns, whose rows are q, k and v of one head after the other; context comes first."""
    q, k, v = rearrange(qkv, "b (h x k) n -> x b h k n", h=heads, x=3)
    if context_kv is not None:
        context_k, context_v = rearrange(context_kv, "b (h x k) n -> x b h k n", h=heads, x=2)
        k, v = torch.cat([context_k, k], dim=-1), torch.cat([context_v, v], dim=-1)
    scores = torch.einsum("bhkn,bhkm->bhnm", q, k) / q.shape[2] ** 0.5
    if mask is not None:  # 0 or minus infinity
        scores = scores + mask
    return rearrange(torch.einsum("bhnm,bhkm->bhkn", scores.softmax(dim=-1), v), "b h k n -> b (h k) n")


class Attention(nn.Module):
    """Attention of pixels as convolutions of width 1."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads = channels // config.head_width
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.encoder_kv = nn.Conv1d(config.context_width, 2 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        mask = F.pad(mask, (0, x.shape[2] * x.shape[3]))[:, None, None]
        found = attended(self.qkv(self.norm(x).flatten(2)), self.encoder_kv(context), mask, self.heads)
        return x + self.proj_out(found).view_as(x)


class Block(nn.Module):
    """A residual block, which may change the side by a factor."""

    def __init__(self, enters: int, out: int, config: UNetConfig, factor: float = 1.0) -> None:
        super().__init__()
        self.factor, self.scale_shift = factor, config.scale_shift
        normed, convolved = nn.GroupNorm(32, enters), nn.Conv2d(enters, out, 3, padding=1)
        self.in_layers = nn.Sequential(normed, nn.SiLU(), convolved)
        told = nn.Linear(config.embed_width, (1 + config.scale_shift) * out)
        self.emb_layers = nn.Sequential(nn.SiLU(), told)
        last = nn.Conv2d(out, out, 3, padding=1)
        self.out_layers = nn.Sequential(nn.GroupNorm(32, out), nn.SiLU(), nn.Identity(), last)
        self.skip_connection = nn.Identity() if enters == out else nn.Conv2d(enters, out, 1)

    def forward(self, x: Tensor, embed: Tensor) -> Tensor:
        norm, *rest = self.out_layers
        h, x = self._resized(self.in_layers[:2](x)), self._resized(x)
        h, told = self.in_layers[2](h), self.emb_layers(embed)[..., None, None]
        if self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + told)
        return self.skip_connection(x) + nn.Sequential(*rest)(h)

    def _resized(self, x: Tensor) -> Tensor:
        mode = "nearest" if self.factor > 1 else "area"
        return x if self.factor == 1 else F.interpolate(x, scale_factor=self.factor, mode=mode)


class UNet(nn.Module):
    """The U-Net, its blocks numbered through all levels."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths, last = config.channels, len(config.channels) - 1
        self.width = width = widths[0]
        wide = config.embed_width
        self.time_embed = nn.Sequential(nn.Linear(width, wide), nn.SiLU(), nn.Linear(wide, wide))
        down, skips = [[nn.Conv2d(config.in_channels, width, 3, padding=1)]], [width]
        for level, out in enumerate(widths):
            for _ in range(config.depth):
                attention = [Attention(out, config)] if config.attention[level] else []
                down.append([Block(width, out, config), *attention])
                width = out
                skips.append(width)
            if level < last:
                down.append([Block(width, width, config, 0.5)])
                skips.append(width)
        middle = [Attention(width, config)] if config.mid_attention else []
        up = list[list[nn.Module]]()
        for level, out in reversed(list(enumerate(widths))):
            for i in range(config.depth + 1):
                attention = [Attention(out, config)] if config.attention[level] else []
                resize = [Block(out, out, config, 2.0)] if level and i == config.depth else []
                up.append([Block(width + skips.pop(), out, config), *attention, *resize])
                width = out
        self.input_blocks = nn.ModuleList(map(nn.ModuleList, down))
        self.middle_block = nn.ModuleList(
            [Block(widths[-1], widths[-1], config), *middle, Block(widths[-1], widths[-1], config)]
        )
        self.output_blocks = nn.ModuleList(map(nn.ModuleList, up))
        convolved = nn.Conv2d(width, config.out_channels, 3, padding=1)
        self.out = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), convolved)

    def predicted(self, x: Tensor, t: Tensor, added: Tensor | float, *context: Tensor) -> Tensor:
        embed = self.time_embed(timestep_embedding(t, self.width)) + added
        skips = list[Tensor]()
        for block in self.input_blocks:
            x = self._run(block, x, embed, context)
            skips.append(x)
        x = self._run(self.middle_block, x, embed, context)
        for block in self.output_blocks:
            x = self._run(block, torch.cat([x, skips.pop()], dim=1), embed, context)
        return self.out(x)

    def _run(self, layers: Any, x: Tensor, embed: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        for layer in layers:
            match layer:
                case Block():
                    x = layer(x, embed)
                case Attention():
                    x = layer(x, *context)
                case _:
                    x = layer(x)
        return x


class DecoderUNet(UNet):
    """The decoder's, which takes CLIP's embeddings and encodings."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config.unet)
        width, context, added = config.embed_dim, config.unet.context_width, config.unet.embed_width
        assert context is not None
        self.clip_emb = nn.Linear(width, added)
        self.text_seq_proj = nn.Sequential(nn.Linear(width, context), nn.LayerNorm(context))
        self.text_feat_proj = nn.Linear(width, added)
        self.clip_tok_proj = nn.Linear(width, 4 * context)
        self.cf_param = nn.Parameter(torch.empty(width))

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, text: Tensor, encodings: Tensor, mask: Tensor
    ) -> Tensor:
        image = self.clip_tok_proj(y).reshape(len(y), -1, 4)  # b d n
        context = torch.cat([image, self.text_seq_proj(encodings).mT], dim=2)
        hidden = torch.zeros(F.pad(mask, (4, 0)).shape).masked_fill(
            ~F.pad(mask, (4, 0), value=True), -torch.inf
        )
        return self.predicted(x, t, self.clip_emb(y) + self.text_feat_proj(text), context, hidden)


class PriorBlock(nn.Module):
    """A block of the prior's transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({"c_qkv": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor, heads: int) -> Tensor:
        found = attended(self.attn["c_qkv"](self.ln_1(x)).mT, None, mask, heads).mT
        x = x + self.attn["c_proj"](found)
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class PriorTransformer(nn.Module):
    """The prior."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.heads, wide, narrow = config.heads, config.width, config.embed_dim
        self.time_embed = nn.Sequential(nn.Linear(wide, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.text_enc_proj, self.text_emb_proj = nn.Linear(narrow, wide), nn.Linear(narrow, wide)
        self.clip_img_proj, self.out_proj = nn.Linear(narrow, wide), nn.Linear(wide, narrow)
        blocks = nn.ModuleList(PriorBlock(wide) for _ in range(config.depth))
        self.transformer = nn.ModuleDict({"resblocks": blocks})
        self.final_ln = nn.LayerNorm(wide)
        self.positional_embedding = nn.Parameter(torch.empty(1, config.context_length + 4, wide))
        self.prd_emb = nn.Parameter(torch.empty(1, 1, wide))

    def forward(self, x: Tensor, t: Tensor, text: Tensor, encodings: Tensor, mask: Tensor) -> Tensor:
        parts = [self.text_emb_proj(text), self.time_embed(timestep_embedding(t, self.prd_emb.shape[-1]))]
        parts += [self.clip_img_proj(x), self.prd_emb[0].expand(len(x), -1)]
        h = torch.cat([self.text_enc_proj(encodings), torch.stack(parts, dim=1)], dim=1)
        n = h.shape[1]
        seen = F.pad(mask, (0, 4), value=True)[:, None, None] & torch.ones(n, n, dtype=torch.bool).tril()
        hidden = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
        h = h + self.positional_embedding
        blocks = self.transformer["resblocks"]
        assert isinstance(blocks, nn.ModuleList)
        for block in blocks:
            h = block(h, hidden, self.heads)
        return self.out_proj(self.final_ln(h)[:, -1])


def networks() -> dict[str, nn.Module]:
    """Build the three networks with random weights, by what each is of Karlo."""
    torch.manual_seed(0)
    found = {
        "prior": nn.ModuleDict({"model": PriorTransformer(PRIOR)}),
        "decoder": nn.ModuleDict({"model": DecoderUNet(DECODER)}),
        "upsampler": nn.ModuleDict(
            {"model_first_steps": UNet(UPSAMPLER.unet), "model_last_step": UNet(UPSAMPLER.unet)}
        ),
    }
    return {name: _randomised(network).requires_grad_(False) for name, network in found.items()}


def _randomised(network: nn.Module) -> nn.Module:
    """Let no number be 0 or 1, which would hide what it is multiplied with."""
    for parameter in network.parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, mean=0.5, std=0.3)
        elif parameter.shape[0] == 1:
            nn.init.normal_(parameter)
    return network


def write_files(folder: Path) -> dict[str, nn.Module]:
    """Write the four files of a model, and return its networks."""
    folder.mkdir(parents=True, exist_ok=True)
    found = networks()
    for name, network in zip(NAMES, found.values(), strict=False):
        torch.save({"epoch": 3, "state_dict": network.state_dict()}, folder / name)
    torch.save((torch.randn(PRIOR.embed_dim), torch.rand(PRIOR.embed_dim) + 0.5), folder / NAMES[-1])
    return found


def write_clip(folder: Path) -> Clip:
    """Write the folder of a CLIP as transformers keeps it, and return the network."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = build("clip", CLIP).requires_grad_(False)
    assert isinstance(clip, Clip)
    clip.logit_scale.fill_(4.25)
    write_tensors(folder / "model.safetensors", exported(clip.state_dict(), whole_links(CLIP)))
    towers = {
        "text_config": {"max_position_embeddings": LENGTH, "vocab_size": CLIP.vocab_size, **_fields("text")},
        "vision_config": {"image_size": CLIP.image_size, "patch_size": CLIP.patch_size, **_fields("image")},
    }
    config = {"model_type": "clip", "projection_dim": CLIP.embed_dim, **towers}
    (folder / "config.json").write_text(json.dumps(config))
    half = [0.5, 0.5, 0.5]
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": half, "image_std": half}))
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(_pieces())}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return clip


def _fields(tower: str) -> dict[str, Any]:
    return {
        "hidden_size": getattr(CLIP, f"{tower}_width"),
        "intermediate_size": getattr(CLIP, f"{tower}_mlp_width"),
        "num_attention_heads": getattr(CLIP, f"{tower}_heads"),
        "num_hidden_layers": getattr(CLIP, f"{tower}_depth"),
        "projection_dim": 512,  # not that of CLIPModel, which stands beside the towers
    }


def _pieces() -> Iterator[str]:
    letters = sorted(ByteLevel.alphabet())
    yield from letters
    yield from (f"{letter}</w>" for letter in letters)
    yield from ("<|startoftext|>", "<|endoftext|>")
