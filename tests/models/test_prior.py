from typing import Any

import pytest
import torch
from torch import Tensor

from unclip import presets
from unclip.models.prior import Prior
from unclip.system import System

CONFIG = presets.tiny().prior
MASK = torch.arange(CONFIG.context_length) < torch.tensor([5, 9])[:, None]


@pytest.fixture
def prior(system: System) -> Prior:
    assert system.prior is not None
    return system.prior.network


def inputs() -> dict[str, Any]:
    return {
        "x_t": torch.randn(2, CONFIG.embed_dim),
        "t": torch.tensor([3, 700]),
        "text_embed": torch.randn(2, CONFIG.embed_dim),
        "text_encodings": torch.randn(2, CONFIG.context_length, CONFIG.text_width),
        "text_mask": MASK,
    }


@pytest.mark.parametrize("name", ["x_t", "t", "text_embed", "text_encodings"])
def test_every_input_matters(prior: Prior, name: str) -> None:
    given = inputs()
    changed = given[name].roll(1, 0) if name == "t" else torch.randn_like(given[name])
    assert not torch.allclose(prior(**{**given, name: changed}), prior(**given), atol=1e-3)


def test_only_unmasked_text_is_seen(prior: Prior) -> None:
    given = inputs()
    beyond = given["text_encodings"].where(MASK[..., None], torch.tensor(9.0))
    torch.testing.assert_close(prior(**{**given, "text_encodings": beyond}), prior(**given))


def test_padding_may_be_left_off(prior: Prior) -> None:
    given = inputs()
    short = {**given, "text_encodings": given["text_encodings"][:, :9], "text_mask": MASK[:, :9]}
    torch.testing.assert_close(prior(**short), prior(**given))


def test_the_order_of_words_matters(prior: Prior) -> None:
    given = inputs()
    swapped = given["text_encodings"].clone()
    swapped[:, [1, 2]] = swapped[:, [2, 1]]
    assert not torch.allclose(prior(**{**given, "text_encodings": swapped}), prior(**given), atol=1e-4)


def test_unwhitening_undoes_whitening() -> None:
    prior = Prior(CONFIG)
    embeds = 3 + 2 * torch.randn(1000, CONFIG.embed_dim)
    assert torch.equal(prior.whiten(embeds), embeds)  # until it is told of a mean and a deviation
    prior.clip_mean.copy_(embeds.mean(dim=0))
    prior.clip_std.copy_(embeds.std(dim=0))
    white = prior.whiten(embeds)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(CONFIG.embed_dim), atol=1e-5, rtol=0)
    torch.testing.assert_close(white.std(dim=0), torch.ones(CONFIG.embed_dim))
    torch.testing.assert_close(prior.unwhiten(white), embeds)


def test_the_whitening_is_saved_with_the_weights(prior: Prior) -> None:
    state: dict[str, Tensor] = prior.state_dict()
    assert {"clip_mean", "clip_std"} <= state.keys()
