"""The judge that describes: features of whole pictures, in which sets of pictures are compared.

It is taught to say what a picture holds, without where; its features are what it says that from.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unclip.evaluation.judges.detector import Block, resized


@dataclass(frozen=True)
class FeaturesConfig:
    """What a feature network is taught to say, and its shape."""

    concepts: tuple[str, ...]
    colours: tuple[str, ...]
    styles: tuple[str, ...]
    backgrounds: tuple[str, ...]
    image_size: int = 64
    patch_size: int = 4  # side of the patches folded into channels in front
    channels: tuple[int, int, int] = (48, 96, 128)  # the last is the number of features
    groups: int = 16


class Features(nn.Module):
    """A convolutional network with one vector at its end, the mean over the coarsest grid."""

    def __init__(self, config: FeaturesConfig):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.channels
        self.conv_in = nn.Conv2d(3 * config.patch_size**2, fine, 3, padding=1)
        self.fine = Block(fine, fine, config.groups)
        self.middle = nn.Sequential(*(Block(c, middle, config.groups) for c in (fine, middle)))
        self.coarse = nn.Sequential(*(Block(c, coarse, config.groups) for c in (middle, coarse)))
        said = (config.concepts, config.colours, config.styles, config.backgrounds)
        self.says = nn.ModuleList(nn.Linear(coarse, len(words)) for words in said)  # while it is taught

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Describe pictures in [-1, 1] of any size; they are resized to `image_size`."""
        x = resized(x, self.config.image_size)
        h = self.fine(self.conv_in(F.pixel_unshuffle(x, self.config.patch_size)))
        h = self.coarse(F.avg_pool2d(self.middle(F.avg_pool2d(h, 2)), 2))
        return F.silu(h).mean(dim=(2, 3))
