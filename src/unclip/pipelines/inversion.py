"""From a picture back to what the decoder draws it from: an image embedding, and noise."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from unclip.diffusion.driver import Denoising
from unclip.diffusion.guides import Guide, clamp, classifier_free, fused
from unclip.diffusion.noise import seeded_noise
from unclip.diffusion.samplers import Sampling, ddim, ddim_inversion, glance
from unclip.diffusion.schedule import Schedule, respace
from unclip.errors import RequestError
from unclip.models.decoder import Decoder
from unclip.pipelines import stages
from unclip.pipelines.given import embed, resized
from unclip.system import Stage, System

STEPS = 50
REFINEMENTS = 1
GLANCE_NOISE = 0.1  # of the signal: where the decoder's error is looked at, and about as large as it


@dataclass(frozen=True)
class Latent:
    """What pictures are drawn from: what CLIP sees in them, and the noise that holds all else.

    `error` is the root mean square error of the decoder's x0 near the clean picture, per row (see
    guides.fused); 0 where the network does not predict x0. Source: Ramesh et al. 2022, section 3.
    """

    image_embed: Float[Tensor, "b d"]
    x_T: Float[Tensor, "b 3 h w"]
    error: Float[Tensor, " b"]

    def expanded(self, n: int) -> "Latent":
        """Return n copies of a latent of one row."""
        return Latent(self.image_embed.expand(n, -1), self.x_T.expand(n, -1, -1, -1), self.error.expand(n))


def decoder_of(system: System) -> Stage[Decoder]:
    """Return the undistilled decoder. Raises RequestError if the model was loaded without it."""
    if system.decoder is None:
        raise RequestError("inversion and edits need the undistilled decoder: load the model with it")
    return system.decoder


def schedule_of(stage: Stage[Decoder], num_steps: int) -> Schedule:
    """Return the timesteps of inversion and of decoding again. Raises RequestError for no number of steps."""
    return respace(stage.process.schedule, num_steps)


def invert(
    system: System,
    images: Float[Tensor, "b 3 h w"],
    num_steps: int = STEPS,
    refinements: int = REFINEMENTS,
) -> Generator[Denoising, Tensor, Latent]:
    """Find the latents of square pictures: `decode` with eta 0 gives them back, at the decoder's size.

    No caption, no guidance and no clamp. Source: Ramesh et al. 2022, section 3, and see ddim_inversion.
    """
    stage = decoder_of(system)
    schedule = schedule_of(stage, num_steps)
    image_embed = embed(system, images)
    images = resized(images.to(system.device), stage.network.config.image_size)
    guide = _guide(system, image_embed, scale=1.0)
    error = torch.zeros(len(images), device=images.device)
    if stage.process.config.prediction == "x0":
        t = _noisy_by(stage.process.schedule, GLANCE_NOISE)
        scaled = images * stage.process.schedule.alpha_bar(t) ** 0.5
        seen = yield _asking("glance", stage, 1, glance(scaled, t), guide)
        error = (seen - images).square().flatten(1).mean(dim=1).sqrt()
    guide = fused(stage.process, guide, error)
    asked = num_steps * (1 + refinements)
    x_T = yield _asking("inversion", stage, asked, ddim_inversion(schedule, images, refinements), guide)
    return Latent(image_embed, x_T, error)


def decode(
    system: System,
    latent: Latent,
    seeds: Sequence[int],
    eta: float = 0.0,
    num_steps: int = STEPS,
    guidance_scale: float = 1.0,
) -> Denoising:
    """Draw from latents, in the steps of the inversion, `eta` of the noise of each step drawn anew.

    Without noise drawn anew it is the picture's own detail that the decoder cannot draw which is kept; the
    more is drawn anew, the less of it. Source: Song et al. 2021, equation 12.
    """
    stage = decoder_of(system)
    noise = seeded_noise(seeds, "variation", tuple(latent.x_T.shape[1:]), system.device)
    kept = latent.error * (1 - eta)
    guide = fused(stage.process, _guide(system, latent.image_embed, guidance_scale), kept)
    if guidance_scale != 1:  # which alone takes x0 out of its range; a clamp would cost exactness
        guide = clamp(stage.process, guide)
    sampling = ddim(schedule_of(stage, num_steps), latent.x_T, noise, eta)
    return _asking("decoder", stage, num_steps, sampling, guide)


def faded(latent: Latent, share: float) -> Latent:
    """Return a latent of which only a share of the picture's own fine detail is kept when it is decoded."""
    return replace(latent, error=latent.error * share)


def noise_latent(system: System, image_embed: Float[Tensor, "b d"], seeds: Sequence[int]) -> Latent:
    """Return latents of embeddings with noise from seeds, the same as every task draws for them."""
    stage = decoder_of(system)
    x_T = stages.decoder_noise(stage, seeds, system.device)()
    return Latent(image_embed, x_T, torch.zeros(len(seeds), device=system.device))


def _guide(system: System, image_embed: Float[Tensor, "b d"], scale: float) -> Guide:
    stage = decoder_of(system)
    text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, [""] * len(image_embed))
    given, without = stages.decoder_conditions(image_embed, text, empty)
    return classifier_free(stage.process, given, without, scale)


def _asking(name: str, stage: Stage[Decoder], num_steps: int, sampling: Sampling, guide: Guide) -> Denoising:
    return Denoising(name, num_steps, stage.network, sampling, guide)


def _noisy_by(schedule: Schedule, ratio: float) -> int:
    """Return the first timestep whose noise is at least so large beside the signal."""
    alpha_bar = torch.from_numpy(schedule.alphas_cumprod)
    return int(((1 - alpha_bar) / alpha_bar >= ratio**2).int().argmax())
