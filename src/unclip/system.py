"""The system: everything a picture needs, in one frozen bundle."""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from torch import device, nn

from unclip.diffusion.process import Process, ProcessConfig
from unclip.diffusion.schedule import Spacing
from unclip.errors import RequestError
from unclip.models.clip import Clip
from unclip.models.decoder import Decoder
from unclip.models.prior import Prior
from unclip.models.prior_ar import PriorAr
from unclip.models.upsampler import Upsampler
from unclip.text.tokenizer import Tokenizer

N = TypeVar("N", bound=nn.Module)
Quality = Literal["draft", "standard", "best"]  # best: the undistilled decoder


@dataclass(frozen=True)
class SamplingDefaults:
    """How a stage is sampled unless the request says otherwise."""

    sampler: str  # a key of diffusion.samplers.SAMPLERS, or "analytic" where eps_moments are measured
    num_steps: int
    guidance_scale: float = 1.0  # 1: off
    spacing: Spacing = "linspace"  # of the timesteps (see diffusion.schedule.respace)
    guidance_interval: tuple[int, int] | None = None  # timesteps that are guided, ends included; None: all
    guidance_rescale: float = 0.0  # of the guided x0 (see diffusion.guides.classifier_free)
    dynamic_threshold: float | None = None  # percentile of |x0| in (0, 1]; None: x0 is clamped


@dataclass(frozen=True)
class StageConfig:
    """What one diffusion stage is, beside its network."""

    process: ProcessConfig
    defaults: SamplingDefaults
    eps_moments: tuple[float, ...] = ()  # see Stage


@dataclass(frozen=True)
class Stage(Generic[N]):
    """A network, the process it was trained on, and how it is sampled by default.

    `eps_moments` are mean squares of the noise it predicts, measured on pictures, at timesteps spread evenly
    from 0 to the last (see diffusion.samplers.analytic); none if they were not measured.
    """

    network: N
    process: Process
    defaults: SamplingDefaults
    eps_moments: tuple[float, ...] = ()


@dataclass(frozen=True)
class Card:
    """What a model says of itself."""

    name: str
    licence: str
    training_data: tuple[str, ...]
    words: tuple[str, ...]  # every word of its training captions
    metrics: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class System:
    """Tokenizer, CLIP, prior, decoder and upsamplers, with their processes.

    Stages that were not loaded are None, or absent from `upsamplers` (which go from small to large).
    """

    card: Card
    tokenizer: Tokenizer
    clip: Clip
    prior: Stage[Prior] | None
    decoder: Stage[Decoder] | None
    upsamplers: tuple[Stage[Upsampler], ...]
    distilled: Stage[Decoder] | None = None  # draws in few steps; edits and inversion need `decoder`
    default_quality: Quality = "best"
    prior_ar: PriorAr | None = None  # draws tokens, hence no Stage

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides, in pixels, of the pictures it makes, rising."""
        decoder = self.decoder or self.distilled
        sizes: tuple[int, ...] = (decoder.network.config.image_size,) if decoder else ()
        for upsampler in (stage.network.config for stage in self.upsamplers):
            if upsampler.low_size in sizes:
                sizes += (upsampler.image_size,)
        return sizes

    @property
    def device(self) -> device:
        """Where its networks are."""
        return self.clip.logit_scale.device

    @property
    def default_size(self) -> int:
        """The side of a picture when none is asked for: the largest up to 256 pixels, if there is one."""
        return max((size for size in self.sizes if size <= 256), default=min(self.sizes, default=0))

    def check_size(self, size: int | None) -> int:
        """Return `size`, or the default for None.

        Raises RequestError unless this system makes pictures of that side.
        """
        if size is None and self.sizes:
            return self.default_size
        if size not in self.sizes:
            raise RequestError(f"size {size} is not one of {', '.join(map(str, self.sizes))}")
        return size
