"""What a training run is told."""

from dataclasses import dataclass
from typing import Literal

from unclip.errors import RequestError

Precision = Literal["float32", "bfloat16"]
Degradation = Literal["blur", "bsr"]


@dataclass(frozen=True)
class TrainConfig:
    """How one network is trained. Progress counts images; a step is one change of the weights.

    Raises RequestError if a batch cannot be cut into `micro_batches` equal parts.
    """

    images: int  # how many to train on in all; sets the end of the learning-rate schedule
    batch_size: int  # images per step
    learning_rate: float  # of AdamW
    image_size: int  # pixels a side of what the network is shown (of crops, for upsamplers)
    seed: int = 0
    micro_batches: int = 1  # parts a batch is run in, to save memory
    muon_learning_rate: float | None = None  # of Muon, for the hidden weights; None or 0: AdamW takes all
    weight_decay: float = 0.01  # of AdamW
    beta2: float = 0.99
    warmup_images: int = 20_000
    decay_share: float = 0.2  # last part of the run, in which the rate falls to 0
    clip_norm: float = 1.0
    ema: tuple[float, ...] = (0.05, 0.10)  # relative widths of the power-function averages
    snr_range: tuple[float, float] | None = None  # see Process.loss
    timestep_power: float = 1.0  # of the decoder; below 1, timesteps are more often noisy (random_timesteps)
    degradation: Degradation = "blur"  # of the small pictures that upsamplers are shown (UpsamplerTask)
    precision: Precision = "float32"  # of the forward pass; weights are always float32
    checkpointing: bool = False  # recompute activations in the backward pass
    log_steps: int = 20  # steps between two lines of metrics; checkpoints fall on these
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 10.0

    def __post_init__(self):
        if self.batch_size % self.micro_batches:
            raise RequestError(
                f"a batch of {self.batch_size} cannot be cut into {self.micro_batches} equal micro-batches:"
                " choose a divisor"
            )

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return -(-self.images // self.batch_size)

    def rate(self, step: int) -> float:
        """Return the factor on the learning rate at `step` (0 is the first).

        It warms up, stays at 1, and falls linearly to 0 in the last `decay_share` of the run. Before that it
        does not depend on `images`, so a run may be prolonged until then.
        """
        seen = (step + 1) * self.batch_size
        warmup = min(1.0, seen / self.warmup_images) if self.warmup_images else 1.0
        decay = self.decay_share * self.images
        return warmup * (min(1.0, max(0.0, self.images - step * self.batch_size) / decay) if decay else 1.0)
