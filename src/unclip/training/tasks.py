"""What each network learns: its loss on a batch, what is worth measuring beside it, and a sheet to look at.

A task never changes the network; every random number comes from the generator it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor, nn

from unclip.data.example import Example, Pictures
from unclip.diffusion.driver import Denoising, finish, run
from unclip.diffusion.guides import Conditions, Guide, clamp, classifier_free
from unclip.diffusion.noise import seeded_noise
from unclip.diffusion.process import Process, SnrRange
from unclip.diffusion.samplers import dpm_solver_pp
from unclip.diffusion.schedule import respace
from unclip.models.prior import Prior
from unclip.pipelines.stages import encode_text_and_empty
from unclip.text.tokenizer import Tokenizer
from unclip.training.batches import Batch, Steps
from unclip.training.conditions import TextConditions

WHITENED_ON = 1024  # pictures
PROBED = 16  # pictures, by the decoder
SHEET_STEPS = 16
SHEET_GUIDANCE = 2.0


@runtime_checkable  # for the checks of types in tests
class Task(Protocol):
    """What the training loop needs to know of a stage."""

    def draw(self, pictures: Pictures, index: int, size: int) -> Example:
        """Return one training example of `size` pixels a side."""
        ...

    def prepare(self, network: nn.Module, steps: Steps) -> None:
        """Fit what is fitted once, before the first step, on as many of the batches as that takes."""
        ...

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the scalar loss of a batch."""
        ...

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """Measure what the loss alone does not show."""
        ...

    def sheet(self, network: nn.Module, batch: Batch) -> list[Float[Tensor, "b 3 h w"]]:
        """Return rows of pictures in [-1, 1], the originals first; none if there is nothing to see."""
        ...


class WholePictures:
    """Tasks that are shown whole pictures, and fit nothing beforehand."""

    def draw(self, pictures: Pictures, index: int, size: int) -> Example:
        """Return a whole picture."""
        return pictures.example(index, size)

    def prepare(self, network: nn.Module, steps: Steps) -> None:
        """Fit nothing."""


def device_of(network: nn.Module) -> torch.device:
    """Return where a network is."""
    return next(network.parameters()).device


def random_timesteps(
    process: Process, count: int, generator: Generator, power: float = 1.0
) -> Int64[Tensor, " b"]:
    """Draw training timesteps T u^power, u spread evenly over the batch from one random start.

    Each is as likely at power 1; below 1 the noisy ones are, at 0.5 in proportion to t. The even spread takes
    noise out of the gradient (Kingma et al. 2021, section C).
    """
    rows = torch.arange(count, device=generator.device)
    start = torch.rand(1, generator=generator, device=generator.device, dtype=torch.float64)
    u = (start + rows / count) % 1
    return (len(process.schedule.betas) * u.pow(power)).long()


def chance(count: int, probability: float, generator: Generator) -> Bool[Tensor, " b"]:
    """Draw for each row whether something of a probability happens."""
    return torch.rand(count, generator=generator, device=generator.device) < probability


def normal_like(like: Tensor, generator: Generator) -> Tensor:
    """Draw standard normal noise of a tensor's shape."""
    return torch.randn(like.shape, generator=generator, device=like.device)


def _shuffled(captions: Sequence[str]) -> list[str]:
    """Every caption goes to another picture."""
    return [*captions[1:], captions[0]]


@dataclass(frozen=True)
class ClipTask(WholePictures):
    """Symmetric cross-entropy of pictures and captions; equal captions in a batch count as equally right.

    Source: Radford et al. 2021. With micro-batches, a picture is told from the captions of its part alone.
    """

    tokenizer: Tokenizer

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean of the two cross-entropies, in nats."""
        del generator
        logits, target = self._logits(network, batch)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """Share of pictures whose nearest caption in the batch is right."""
        del generator
        logits, target = self._logits(network, batch)
        right = target.gather(1, logits.argmax(dim=1, keepdim=True)) > 0
        return {"accuracy": right.float().mean().item()}

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Nothing to see."""
        del network, batch
        return []

    def _logits(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Float[Tensor, "b b"]]:
        device = device_of(network)
        tokens = self.tokenizer(batch.captions)
        length = int(tokens.mask.sum(dim=1).max())  # what follows is padding
        ids, mask = tokens.tokens[:, :length].to(device), tokens.mask[:, :length].to(device)
        same = (ids[:, None] == ids[None]).all(dim=-1).float()
        return network(batch.pixels(device), ids, mask).float(), same / same.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class PriorTask(WholePictures):
    """Squared error of the predicted image embedding, whitened. Source: Ramesh et al. 2022, section 2.2."""

    conditions: TextConditions
    process: Process
    text_drop: float = 0.1

    def prepare(self, network: nn.Module, steps: Steps) -> None:
        """Set the mean and deviation that embeddings are whitened with."""
        prior = cast(Prior, network)
        batches = -(-WHITENED_ON // steps.batch_size)
        embeds = torch.cat([self._embed(network, steps[step]) for step in range(batches)])
        prior.clip_mean.copy_(embeds.mean(dim=0))
        prior.clip_std.copy_(embeds.std(dim=0))

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean squared error."""
        drop = chance(len(batch), self.text_drop, generator)
        x0 = self._whitened(network, batch)
        t, noise = random_timesteps(self.process, len(x0), generator), normal_like(x0, generator)
        x_t = self.process.q_sample(x0, t, noise)
        output = network(x_t, t, **self.conditions.dropped(batch.captions, drop))
        return self.process.loss(output.float(), x0, x_t, t, noise).mean()

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """Cosine of the embedding guessed from pure noise to the true one, and to that of another caption."""
        prior = cast(Prior, network)
        x0 = self._whitened(network, batch)
        last = torch.full((len(x0),), len(self.process.schedule.betas) - 1, device=x0.device)
        x_t = normal_like(x0, generator)
        output = network(x_t, last, **self.conditions.text(batch.captions))
        guess = self.process.predict(output.float(), x_t, last).x0
        true, guess = prior.unwhiten(x0), prior.unwhiten(guess)
        return {
            "cosine": F.cosine_similarity(guess, true).mean().item(),
            "cosine_shuffled": F.cosine_similarity(guess, true.roll(1, dims=0)).mean().item(),
        }

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Nothing to see."""
        del network, batch
        return []

    def _embed(self, network: nn.Module, batch: Batch) -> Tensor:
        return self.conditions.image(batch.pixels(device_of(network)))

    def _whitened(self, network: nn.Module, batch: Batch) -> Tensor:
        # Compiled networks come wrapped, hence no isinstance.
        return cast(Prior, network).whiten(self._embed(network, batch))


@dataclass(frozen=True)
class DecoderTask(WholePictures):
    """The process's loss under image embedding and caption, each left out at times on its own.

    Source: Ramesh et al. 2022, section 2.1 (which drops captions half of the time; here they carry more).
    """

    conditions: TextConditions
    process: Process
    snr_range: SnrRange | None
    image_drop: float = 0.2
    text_drop: float = 0.15
    timestep_power: float = 1.0  # see random_timesteps

    def loss(self, network: nn.Module, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean loss."""
        keep_image = ~chance(len(batch), self.image_drop, generator)
        drop_text = chance(len(batch), self.text_drop, generator)
        pixels = batch.pixels(device_of(network))
        text = self.conditions.dropped(batch.captions, drop_text)
        return self._loss(network, pixels, self.conditions.image(pixels), keep_image, text, generator)

    def probe(self, network: nn.Module, batch: Batch, generator: Generator) -> dict[str, float]:
        """Loss under one condition alone, and how much it rises when that condition is another picture's.

        A gap of 0 means that the network does not hear that condition.
        """
        batch = batch.first(PROBED)  # four losses should cost little beside the steps between two lines
        pixels = batch.pixels(device_of(network))
        embed = self.conditions.image(pixels)
        text, other = (self.conditions.text(c) for c in (batch.captions, _shuffled(batch.captions)))
        empty = self.conditions.text([""] * len(batch))
        with_image = torch.ones(len(batch), dtype=torch.bool, device=pixels.device)
        state = generator.get_state()

        def loss(embed: Tensor, keep: Tensor, text: Conditions) -> float:
            generator.set_state(state)
            return self._loss(network, pixels, embed, keep, text, generator).item()

        by_text, by_image = loss(embed, ~with_image, text), loss(embed, with_image, empty)
        return {
            "loss_text": by_text,
            "text_gap": loss(embed, ~with_image, other) - by_text,
            "loss_image": by_image,
            "image_gap": loss(embed.roll(1, dims=0), with_image, empty) - by_image,
        }

    def sheet(self, network: nn.Module, batch: Batch) -> list[Tensor]:
        """Originals, samples from embedding and caption, and samples from the caption alone."""
        pixels = batch.pixels(device_of(network))
        text, empty = encode_text_and_empty(self.conditions.clip, self.conditions.tokenizer, batch.captions)
        present = torch.ones(len(batch), dtype=torch.bool, device=pixels.device)
        image = {"image_embed": self.conditions.image(pixels), "image_mask": present}
        no_image = {"image_embed": image["image_embed"], "image_mask": ~present}
        rows = [pixels]
        for given in ({**text, **image}, {**text, **no_image}):
            guide = classifier_free(self.process, given, {**empty, **no_image}, SHEET_GUIDANCE)
            rows.append(sample(network, self.process, guide, pixels.shape, SHEET_STEPS))
        return rows

    def _loss(
        self,
        network: nn.Module,
        pixels: Tensor,
        embed: Tensor,
        keep_image: Tensor,
        text: Conditions,
        generator: Generator,
    ) -> Tensor:
        t = random_timesteps(self.process, len(pixels), generator, self.timestep_power)
        noise = normal_like(pixels, generator)
        x_t = self.process.q_sample(pixels, t, noise)
        output = network(x_t, t, image_embed=embed, image_mask=keep_image, **text)
        return self.process.loss(output.float(), pixels, x_t, t, noise, self.snr_range).mean()


def sample(network: nn.Module, process: Process, guide: Guide, shape: torch.Size, num_steps: int) -> Tensor:
    """Sample one picture per row from fixed seeds."""
    schedule = respace(process.schedule, num_steps)
    noise = seeded_noise(range(shape[0]), "sheet", tuple(shape[1:]), device_of(network))
    sampling = dpm_solver_pp(schedule, noise(), noise)
    return finish(run(Denoising("sheet", num_steps, network, sampling, clamp(process, guide))))
