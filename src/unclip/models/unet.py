"""The ADM U-Net that builds every decoder and upsampler."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from unclip.nn.attention import ContextAttention
from unclip.nn.embeddings import TimestepEmbedding, place_embedding
from unclip.nn.resblock import ResBlock, Resize


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a U-Net; level 0 has the most pixels."""

    in_channels: int  # of the picture, before pixels are folded into patches
    out_channels: int
    channels: tuple[int, ...]  # per level; each level has half the side of the one before
    depth: int  # residual blocks per level on the way down (one more on the way up)
    attention: tuple[bool, ...]  # per level: attention after each of its blocks
    mid_attention: bool = True  # attention between the two innermost blocks
    context_width: int | None = None  # features of the context tokens; None: attention sees pixels only
    head_width: int = 64
    patch_size: int = 1  # side of the patches folded into channels in front and unfolded behind
    scale_shift: bool = True  # how blocks take the embedding (see ResBlock)
    groups: int = 32  # of every group norm; divides every entry of `channels`
    dropout: float = 0.0
    place_width: int = 0  # features of every cell's place in the picture, told to every level; 0: none

    @property
    def embed_width(self) -> int:
        """Features of the embedding that every block takes."""
        return 4 * self.channels[0]


class Stage(nn.Module):
    """Residual blocks of one level, each followed by attention if any, then a change of resolution.

    `enters` are the channels of the feature map that comes from the stage before.
    """

    def __init__(
        self,
        config: UNetConfig,
        enters: int,
        inputs: list[int],
        out: int,
        attention: bool,
        resize: Resize | None,
    ):
        super().__init__()
        self.place = nn.Linear(config.place_width, enters, bias=False) if config.place_width else None
        if self.place is not None:
            nn.init.zeros_(self.place.weight)
        self.blocks = nn.ModuleList(_block(config, channels, out) for channels in inputs)
        self.attentions = nn.ModuleList(_attention(config, out) for _ in inputs) if attention else None
        self.resize = _block(config, out, out, resize) if resize else None


def _block(config: UNetConfig, in_channels: int, out_channels: int, resize: Resize | None = None) -> ResBlock:
    return ResBlock(
        in_channels,
        out_channels,
        config.embed_width,
        groups=config.groups,
        scale_shift=config.scale_shift,
        dropout=config.dropout,
        resize=resize,
    )


def _attention(config: UNetConfig, channels: int) -> ContextAttention:
    return ContextAttention(channels, config.head_width, config.context_width, config.groups)


def _placed(stage: Stage, h: Float[Tensor, "b c h w"], width: int) -> Float[Tensor, "b c h w"]:
    """Tell a stage where its cells are: noise and convolutions say little of that."""
    if stage.place is None:
        return h
    place = place_embedding(h.shape[2], h.shape[3], width, h.device)
    return h + rearrange(stage.place(place.to(h.dtype)), "h w c -> c h w")


class UNet(nn.Module):
    """Predicts from a noised picture, its timestep, an added embedding and context tokens.

    Source: Dhariwal & Nichol 2021 (ADM); shapes and order of blocks as in Karlo.
    `checkpointing` recomputes each block in the backward pass to save memory.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        self.checkpointing = False
        channels, fold = config.channels, config.patch_size**2
        last = len(channels) - 1
        self.time = TimestepEmbedding(channels[0], config.embed_width)
        self.conv_in = nn.Conv2d(config.in_channels * fold, channels[0], 3, padding=1)

        self.down = nn.ModuleList()
        skips = [channels[0]]
        for level, out in enumerate(channels):
            inputs = [skips[-1]] + [out] * (config.depth - 1)
            resize: Resize | None = "down" if level < last else None
            self.down.append(Stage(config, skips[-1], inputs, out, config.attention[level], resize))
            skips += [out] * (config.depth + (resize is not None))

        self.mid_1 = _block(config, channels[-1], channels[-1])
        self.mid_attention = _attention(config, channels[-1]) if config.mid_attention else None
        self.mid_2 = _block(config, channels[-1], channels[-1])

        self.up = nn.ModuleList()
        width = channels[-1]
        for level, out in reversed(list(enumerate(channels))):
            inputs = [(width if i == 0 else out) + skips.pop() for i in range(config.depth + 1)]
            resize = "up" if level > 0 else None
            self.up.append(Stage(config, width, inputs, out, config.attention[level], resize))
            width = out

        self.norm_out = nn.GroupNorm(config.groups, channels[0])
        self.conv_out = nn.Conv2d(channels[0], config.out_channels * fold, 3, padding=1)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        t: Shaped[Tensor, " b"],
        added: Float[Tensor, "b e"] | None = None,
        context: Float[Tensor, "b n d"] | None = None,
        context_mask: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b c_out h w"]:
        """Return the raw prediction, `out_channels` at the picture's own size.

        h and w are multiples of patch_size * 2^(levels - 1); `added` joins the timestep's embedding.
        """
        embed = self.time(t)
        if added is not None:
            embed = embed + added
        h = self.conv_in(F.pixel_unshuffle(x, self.config.patch_size))
        skips = [h]
        for stage in self.down:
            assert isinstance(stage, Stage)
            h = _placed(stage, h, self.config.place_width)
            for i in range(len(stage.blocks)):
                h = self._layer(stage, i, h, embed, context, context_mask)
                skips.append(h)
            if stage.resize is not None:
                h = self._run(stage.resize, h, embed)
                skips.append(h)
        h = self._run(self.mid_1, h, embed)
        if self.mid_attention is not None:
            h = self._run(self.mid_attention, h, context, context_mask)
        h = self._run(self.mid_2, h, embed)
        for stage in self.up:
            assert isinstance(stage, Stage)
            h = _placed(stage, h, self.config.place_width)
            for i in range(len(stage.blocks)):
                h = self._layer(stage, i, torch.cat([h, skips.pop()], dim=1), embed, context, context_mask)
            if stage.resize is not None:
                h = self._run(stage.resize, h, embed)
        h = self.conv_out(F.silu(self.norm_out(h)))
        return F.pixel_shuffle(h, self.config.patch_size)

    def _layer(
        self,
        stage: Stage,
        i: int,
        h: Tensor,
        embed: Tensor,
        context: Tensor | None,
        context_mask: Tensor | None,
    ) -> Tensor:
        h = self._run(stage.blocks[i], h, embed)
        if stage.attentions is not None:
            h = self._run(stage.attentions[i], h, context, context_mask)
        return h

    def _run(self, module: nn.Module, *inputs: Tensor | None) -> Tensor:
        if self.checkpointing and self.training:
            return checkpoint(module, *inputs, use_reentrant=False)
        return module(*inputs)
