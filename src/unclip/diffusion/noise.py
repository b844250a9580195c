"""Random numbers that depend on what they are for, and on nothing else."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def derived_seed(*key: object) -> int:
    """Return a seed, 0 to 2^63 - 1, that is a function of `key` alone, such as (seed, "decoder")."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def generator(device: torch.device, *key: object) -> torch.Generator:
    """Return a random generator that is a function of `key` alone."""
    return torch.Generator(device).manual_seed(derived_seed(*key))


NoiseOf = Callable[[Sequence[int], str, tuple[int, ...], torch.device], Callable[[], Tensor]]
"""How noise comes of seeds: `seeded_noise`, or another of the same arguments."""


def seeded_noise(
    seeds: Sequence[int], purpose: str, shape: tuple[int, ...], device: torch.device
) -> Callable[[], Tensor]:
    """Return a source of normal noise of shape (len(seeds), *shape), with one stream per seed and purpose.

    Row k depends on its own seed alone, so a picture does not depend on the batch it is drawn in.
    Source: StackedRandomGenerator of Karras et al. 2024 (EDM2).
    """
    generators = [generator(torch.device("cpu"), seed, purpose) for seed in seeds]
    return lambda: torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device)


def one_stream() -> NoiseOf:
    """Return what draws all noise of a seed, whatever its purpose, from one stream in the order asked for.

    That is how diffusers' pipelines draw from a list of generators, one for each picture, made by
    `torch.Generator().manual_seed(seed)`.
    """
    streams = dict[int, torch.Generator]()

    def noise_of(
        seeds: Sequence[int], purpose: str, shape: tuple[int, ...], device: torch.device
    ) -> Callable[[], Tensor]:
        del purpose
        for seed in seeds:
            if seed not in streams:
                streams[seed] = torch.Generator().manual_seed(seed)
        return lambda: torch.stack([torch.randn(shape, generator=streams[s]) for s in seeds]).to(device)

    return noise_of


def seeded_uniform(
    seeds: Sequence[int], purpose: str, shape: tuple[int, ...], device: torch.device
) -> Callable[[], Tensor]:
    """Return a source like `seeded_noise` of numbers spread evenly over [0, 1)."""
    generators = [generator(torch.device("cpu"), seed, purpose) for seed in seeds]
    return lambda: torch.stack([torch.rand(shape, generator=g) for g in generators]).to(device)
