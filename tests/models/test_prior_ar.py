from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from unclip import presets
from unclip.checkpoints.store import load_component, save_component
from unclip.models.prior_ar import PriorAr, PriorArConfig, Waves, cosine_waves
from unclip.system import System

CONFIG = presets.tiny().prior_ar
assert CONFIG is not None
MASK = torch.arange(CONFIG.context_length) < torch.tensor([5, 9])[:, None]


@pytest.fixture
def prior(ar_system: System) -> PriorAr:
    assert ar_system.prior_ar is not None
    return ar_system.prior_ar


def tokens(prior: PriorAr, rows: int = 2) -> Tensor:
    return torch.randint(prior.config.buckets, (rows, prior.config.num_tokens))


def text(prior: PriorAr) -> dict[str, Any]:
    config = prior.config
    return {
        "text_embed": torch.randn(2, config.embed_dim),
        "text_encodings": torch.randn(2, config.context_length, config.text_width),
        "text_mask": MASK,
    }


# The tokens


def embeddings(count: int, config: PriorArConfig, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures' and captions', of a falling spectrum, alike in part."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = 0.93 ** torch.arange(config.embed_dim)
    image, noise = (spectrum * torch.randn(count, config.embed_dim, generator=generator) for _ in range(2))
    return image + 0.1, (image + noise) / 2


@pytest.fixture(scope="module")
def large() -> PriorAr:
    """As many buckets as the paper's, and 32 of 64 components, with few weights."""
    prior = PriorAr(PriorArConfig(64, 8, 4, width=8, depth=1, heads=1, components=32))
    prior.fit(*embeddings(20_000, prior.config, seed=0))
    return prior


def rounding(prior: PriorAr, like: PriorAr) -> float:
    """Error of a held-out embedding's way through tokens, beside its share in the components kept.

    Relative to that share's length, its mean taken off.
    """
    image, caption = embeddings(2000, prior.config, seed=1)
    components = prior.config.components
    kept = like.pca.reconstruct(like.pca.project(image, components))
    through = prior.dequantise(prior.quantise(image, caption))
    return ((through - kept).norm() / (kept - like.pca_mean).norm()).item()


def test_rounding_to_1024_buckets_costs_less_than_two_percent(large: PriorAr) -> None:
    assert 0 < rounding(large, large) < 0.02


def test_tokens_survive_the_int8_file(large: PriorAr, tmp_path: Path) -> None:
    save_component(tmp_path, large, int8=True)
    read = load_component(tmp_path, "prior_ar")
    assert isinstance(read, PriorAr)
    assert rounding(read, large) < 0.02
    basis = read.pca_basis
    torch.testing.assert_close(basis @ basis.T, torch.eye(64), atol=1e-3, rtol=0)
    assert (read.centres.diff(dim=1) >= 0).all()


def test_the_first_token_is_the_product_with_the_text(large: PriorAr) -> None:
    image, caption = embeddings(2000, large.config, seed=1)
    product = (image * caption).sum(dim=1)
    order = large.quantise(image, caption)[:, 0][product.argsort()]
    assert (order.diff() >= 0).all()
    assert torch.equal(
        large.quantise(image, caption)[:, 1:], large.quantise(image, caption.flip(0))[:, 1:]
    )  # the others are the picture's alone


def test_every_token_is_used(large: PriorAr) -> None:
    drawn = large.quantise(*embeddings(20_000, large.config, seed=1))
    assert (drawn.min(), drawn.max()) == (0, 1023)
    for column in drawn.T:
        assert len(column.unique()) > 0.99 * 1024


def test_fewer_tokens_stand_for_fewer_components(large: PriorAr) -> None:
    image, caption = embeddings(10, large.config, seed=1)
    drawn = large.quantise(image, caption)
    torch.testing.assert_close(large.dequantise(drawn[:, :1]), large.pca_mean.expand(10, -1))
    errors = [(large.dequantise(drawn[:, :n]) - image).norm().item() for n in range(1, 34)]
    assert errors == sorted(errors, reverse=True)


def test_it_is_fitted_once(prior: PriorAr) -> None:
    assert prior.fitted
    assert not PriorAr(prior.config).fitted


def test_what_tokens_mean_is_saved_with_the_weights(prior: PriorAr) -> None:
    state: dict[str, Tensor] = prior.state_dict()
    assert {"pca_mean", "pca_basis", "pca_std", "token_mean", "token_std", "centres"} <= state.keys()
    assert all(tensor.is_floating_point() for tensor in state.values())  # or no average could be taken


# The network


@pytest.mark.parametrize("changed", range(7))
def test_no_token_depends_on_itself_or_later_ones(prior: PriorAr, changed: int) -> None:
    given, before = text(prior), tokens(prior)
    after = before.clone()
    after[:, changed] = (after[:, changed] + prior.config.buckets // 2) % prior.config.buckets
    one, other = (prior.logits(each, **given) for each in (before, after))
    torch.testing.assert_close(one[:, : changed + 1], other[:, : changed + 1])
    for n in range(changed + 1, prior.config.num_tokens):
        assert not torch.allclose(one[:, n], other[:, n], atol=1e-4)


def test_the_next_token_is_that_of_training(prior: PriorAr) -> None:
    given, drawn = text(prior), tokens(prior)
    logits = prior.logits(drawn, **given)
    for n in range(prior.config.num_tokens):
        torch.testing.assert_close(prior(drawn[:, :n], torch.full((2,), n), **given), logits[:, n])


def test_rows_at_different_tokens_may_share_a_call(prior: PriorAr) -> None:
    given, drawn = text(prior), tokens(prior)
    logits = prior.logits(drawn, **given)
    together = prior(drawn[:, :-1], torch.tensor([0, 4]), **given)
    torch.testing.assert_close(together, torch.stack([logits[0, 0], logits[1, 4]]))


@pytest.mark.parametrize("name", ["text_embed", "text_encodings"])
def test_the_caption_matters_to_every_token(prior: PriorAr, name: str) -> None:
    given, drawn = text(prior), tokens(prior)
    changed = {**given, name: torch.randn_like(given[name])}
    difference = (prior.logits(drawn, **given) - prior.logits(drawn, **changed)).abs().amax(dim=-1)
    assert difference.min() > 1e-3


def test_only_unmasked_text_is_seen(prior: PriorAr) -> None:
    given, drawn = text(prior), tokens(prior)
    beyond = given["text_encodings"].where(MASK[..., None], torch.tensor(9.0))
    torch.testing.assert_close(
        prior.logits(drawn, **{**given, "text_encodings": beyond}), prior.logits(drawn, **given)
    )


def test_padding_may_be_left_off(prior: PriorAr) -> None:
    given, drawn = text(prior), tokens(prior)
    short = {**given, "text_encodings": given["text_encodings"][:, :9], "text_mask": MASK[:, :9]}
    torch.testing.assert_close(prior.logits(drawn, **short), prior.logits(drawn, **given))


def test_waves_are_orthogonal_and_as_many_as_buckets_tell_all_apart() -> None:
    waves = cosine_waves(32, 32, torch.device("cpu"))
    loudness = 1 / (1 + torch.arange(32) / 8)
    expected = (32 * loudness**2).diag() * torch.where(torch.arange(32) == 0, 2, 1)
    torch.testing.assert_close(waves @ waves.T, expected, atol=1e-4, rtol=1e-4)


def test_a_head_starts_with_neighbours_alike() -> None:
    logits = Waves(16, 128, 1024)(torch.randn(50, 16))
    assert logits.shape == (50, 1024)
    assert logits.diff(dim=-1).std() < 0.1 * logits.std()


def test_there_are_no_more_components_than_dimensions() -> None:
    assert CONFIG is not None
    with pytest.raises(AssertionError):
        PriorAr(replace(CONFIG, components=CONFIG.embed_dim + 1))
