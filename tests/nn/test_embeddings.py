import math

import torch

from unclip.nn.embeddings import TimestepEmbedding, timestep_embedding


def test_sinusoids_are_the_formula_with_cosines_first() -> None:
    embedding = timestep_embedding(torch.tensor([0, 7, 999]), 6)
    for row, t in zip(embedding.tolist(), (0, 7, 999), strict=True):
        angles = [t * 10_000 ** (-k / 3) for k in range(3)]
        expected = [*map(math.cos, angles), *map(math.sin, angles)]
        torch.testing.assert_close(torch.tensor(row), torch.tensor(expected), atol=1e-4, rtol=0)


def test_no_two_timesteps_look_alike() -> None:
    embedding = timestep_embedding(torch.arange(1000), 32)
    distances = torch.cdist(embedding, embedding).fill_diagonal_(math.inf)
    assert distances.min() > 0.1


def test_embedding_follows_the_dtype_of_its_weights() -> None:
    network = TimestepEmbedding(8, 16).bfloat16()
    assert network(torch.tensor([3, 5])).dtype == torch.bfloat16
