import pytest
import torch
from torch import Tensor

from unclip.models.pca import Pca, fit_pca

D = 24


def decaying(count: int, seed: int = 0) -> Tensor:
    """Embeddings off the origin, of falling variance along directions of their own."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(7))).Q
    return torch.randn(count, D, generator=generator) * 0.8 ** torch.arange(D) @ turn + 0.3


@pytest.fixture(scope="module")
def pca() -> Pca:
    return fit_pca(decaying(2000))


def test_the_basis_is_orthonormal(pca: Pca) -> None:
    torch.testing.assert_close(pca.basis @ pca.basis.T, torch.eye(D), atol=1e-6, rtol=0)


def test_components_go_by_falling_variance_and_do_not_correlate(pca: Pca) -> None:
    embeds = decaying(2000)
    covariance = pca.project(embeds, D).T.cov(correction=0)
    torch.testing.assert_close(covariance.diag().sqrt(), pca.std)
    assert (pca.std.diff() < 0).all()
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-5
    torch.testing.assert_close(pca.mean, embeds.mean(dim=0))


def test_all_components_are_the_whole_embedding(pca: Pca) -> None:
    held_out = decaying(100, seed=1)
    torch.testing.assert_close(pca.reconstruct(pca.project(held_out, D)), held_out)


@pytest.mark.parametrize("components", [0, 1, 5, D])
def test_what_is_lost_is_the_variance_that_is_not_kept(pca: Pca, components: int) -> None:
    embeds = decaying(2000)
    lost = (pca.reconstruct(pca.project(embeds, components)) - embeds).square().sum()
    whole = (embeds - embeds.mean(dim=0)).square().sum()
    assert 1 - (lost / whole).item() == pytest.approx(pca.kept_variance(components), abs=1e-5)


def test_no_other_directions_keep_more(pca: Pca) -> None:
    centred = decaying(2000) - pca.mean
    kept = (centred @ pca.basis[:3].T).square().sum()
    for seed in range(20):
        other = torch.linalg.qr(torch.randn(D, 3, generator=torch.Generator().manual_seed(seed))).Q
        assert (centred @ other).square().sum() < kept


def test_signs_do_not_depend_on_the_order_of_the_embeddings(pca: Pca) -> None:
    torch.testing.assert_close(fit_pca(decaying(2000).flip(0)).basis, pca.basis, atol=1e-4, rtol=0)


def test_fewer_embeddings_than_dimensions_give_a_basis_all_the_same() -> None:
    embeds = decaying(5)
    pca = fit_pca(embeds)
    torch.testing.assert_close(pca.basis @ pca.basis.T, torch.eye(D), atol=1e-6, rtol=0)
    torch.testing.assert_close(pca.reconstruct(pca.project(embeds, 4)), embeds)
    assert pca.kept_variance(4) == pytest.approx(1)
