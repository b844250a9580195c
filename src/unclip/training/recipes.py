"""How each stage is trained unless told otherwise, for the bundled shapes on two CPU cores."""

from dataclasses import replace
from typing import Any

from unclip.errors import RequestError
from unclip.training.config import TrainConfig

RECIPES: dict[str, TrainConfig] = {
    "clip": TrainConfig(
        images=120_000,
        batch_size=256,
        learning_rate=1e-3,
        muon_learning_rate=0.02,
        image_size=64,
        weight_decay=0.1,
        beta2=0.98,
        warmup_images=10_000,
    ),
    "prior": TrainConfig(
        images=200_000, batch_size=256, learning_rate=1e-3, image_size=64, warmup_images=10_000
    ),
    "prior_ar": TrainConfig(
        images=200_000,
        batch_size=256,
        learning_rate=1e-3,
        muon_learning_rate=0.01,
        image_size=64,
        weight_decay=0.04,  # this and beta2: Ramesh et al. 2022, table 3
        beta2=0.91,
        warmup_images=10_000,
    ),
    "decoder": TrainConfig(
        images=3_000_000,
        batch_size=64,
        learning_rate=1.4e-3,
        muon_learning_rate=0.01,
        image_size=64,
        snr_range=(0.5, 2.0),
        decay_share=0.7,
        timestep_power=0.35,  # what is drawn is decided where noise is strong
        warmup_images=10_000,
    ),
    "upsampler256": TrainConfig(
        images=200_000,
        batch_size=64,
        learning_rate=1e-3,
        image_size=64,
        snr_range=(1.0, 5.0),
        warmup_images=5_000,
    ),
    "upsampler1024": TrainConfig(
        images=60_000,
        batch_size=16,
        learning_rate=5e-4,
        image_size=256,
        snr_range=(1.0, 5.0),
        warmup_images=2_000,
        degradation="bsr",  # Ramesh et al. 2022, appendix C
    ),
    "distill guidance": TrainConfig(
        images=100_000,
        batch_size=64,
        learning_rate=2e-4,
        image_size=64,
        snr_range=(0.5, 2.0),
        warmup_images=2_000,
    ),
    # All rows weigh alike in x0: an error of an early step is carried to the end.
    "distill steps": TrainConfig(
        images=100_000,
        batch_size=64,
        learning_rate=2e-4,
        image_size=64,
        snr_range=(1.0, 1.0),
        warmup_images=2_000,
    ),
    "distill upsampler256": TrainConfig(
        images=50_000, batch_size=64, learning_rate=2e-4, image_size=64, warmup_images=2_000
    ),
    "distill upsampler1024": TrainConfig(
        images=20_000, batch_size=16, learning_rate=1e-4, image_size=256, warmup_images=1_000
    ),
}


def recipe(component: str, **asked: Any) -> TrainConfig:
    """Return a component's recipe with what is asked for (None: as it stands) in its place.

    Raises RequestError for numbers that no run can have.
    """
    config = replace(
        RECIPES[component], **{name: value for name, value in asked.items() if value is not None}
    )
    for name in ("images", "batch_size", "micro_batches", "image_size"):
        if getattr(config, name) < 1:
            raise RequestError(f"{name} must be at least 1, not {getattr(config, name)}")
    if config.batch_size % config.micro_batches:
        raise RequestError(
            f"batch_size {config.batch_size} does not divide into {config.micro_batches} micro_batches"
        )
    for name in ("learning_rate", "muon_learning_rate"):
        if (rate := getattr(config, name)) is not None and not 0 <= rate <= 1:
            raise RequestError(f"{name} must be between 0 and 1, not {rate}")
    if not 0 < config.timestep_power <= 1:
        raise RequestError(f"timestep_power must be above 0 and at most 1, not {config.timestep_power}")
    if component != "decoder" and config.timestep_power != 1:
        raise RequestError(f"timestep_power is for the decoder, not for {component}")
    if not component.startswith("upsampler") and config.degradation != "blur":
        raise RequestError(f"degradation is for upsamplers, not for {component}")
    return replace(config, muon_learning_rate=config.muon_learning_rate or None)
