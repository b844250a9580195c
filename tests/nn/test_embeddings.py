import math

import torch

from unclip.nn.embeddings import TimestepEmbedding, place_embedding, timestep_embedding


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


def test_a_place_is_a_share_of_the_picture() -> None:
    fine, coarse = (place_embedding(n, n, 16, torch.device("cpu")) for n in (6, 2))
    torch.testing.assert_close(fine[1::3, 1::3], coarse)  # every third cell has the middle of a coarse one
    assert len({tuple(place.tolist()) for place in fine.flatten(0, 1)}) == 36
    column = place_embedding(3, 1, 16, torch.device("cpu"))
    assert torch.equal(column[..., 8:], column[:1, :, 8:].expand(3, 1, 8))
