from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unclip.diffusion.guides import (
    Conditions,
    Guide,
    Rows,
    clamp,
    classifier_free,
    conditional,
    dynamic_threshold,
    fused,
    known_region,
)
from unclip.diffusion.process import Prediction, Process, ProcessConfig
from unclip.diffusion.samplers import Query

PROCESS = Process(ProcessConfig(prediction="eps"))
GIVEN: Conditions = {"shift": torch.tensor([[1.0], [2.0]])}
ABSENT: Conditions = {"shift": torch.zeros(2, 1)}


def shifted(rows: Rows) -> Tensor:
    """A network that every condition shifts by its own amount."""
    return rows.x_t.tanh() + rows.conditions["shift"]


def answered(
    guide: Guide, query: Query, network: Callable[[Rows], Tensor] = shifted
) -> tuple[Prediction, list[Rows]]:
    """The guide's prediction, and what it asked the network."""
    guidance, asked = guide(query), list[Rows]()
    rows = next(guidance)
    while True:
        asked.append(rows)
        try:
            rows = guidance.send(network(rows))
        except StopIteration as stop:
            return stop.value, asked


def query(t: int = 500) -> Query:
    return Query(torch.randn(2, 4), t)


def close(found: Prediction, expected: Prediction) -> None:
    torch.testing.assert_close((found.x0, found.eps), (expected.x0, expected.eps))


def test_conditional_asks_once() -> None:
    question = query()
    prediction, (rows,) = answered(conditional(PROCESS, GIVEN), question)
    assert torch.equal(rows.x_t, question.x_t)
    assert rows.t.tolist() == [500, 500]
    close(prediction, PROCESS.predict(shifted(rows), question.x_t, rows.t))


@pytest.mark.parametrize(
    ("scale", "interval"), [(1.0, None), (3.0, (0, 499)), (3.0, (501, 999)), (3.0, (1, 0))]
)
@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_guidance_that_is_off_asks_no_second_row(
    scale: float, interval: tuple[int, int] | None, rescale: float
) -> None:
    question = query()
    prediction, asked = answered(classifier_free(PROCESS, GIVEN, ABSENT, scale, interval, rescale), question)
    expected, (rows,) = answered(conditional(PROCESS, GIVEN), question)
    assert [len(rows.x_t) for rows in asked] == [2]
    assert torch.equal(asked[0].conditions["shift"], rows.conditions["shift"])
    assert torch.equal(prediction.x0, expected.x0)
    assert torch.equal(prediction.eps, expected.eps)


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_an_empty_interval_is_off_everywhere(t: int) -> None:
    _, asked = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0, (1, 0)), query(t))
    assert [len(rows.x_t) for rows in asked] == [2]


@pytest.mark.parametrize("interval", [None, (0, 999), (500, 500)])
def test_guidance_asks_with_and_without_the_conditions(interval: tuple[int, int] | None) -> None:
    _, (rows,) = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0, interval), query())
    assert rows.t.tolist() == [500] * 4
    assert rows.conditions["shift"].flatten().tolist() == [0, 0, 1, 2]
    assert torch.equal(rows.x_t[:2], rows.x_t[2:])


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
def test_guidance_moves_away_from_the_unconditional(scale: float) -> None:
    question = query()
    prediction, _ = answered(classifier_free(PROCESS, GIVEN, ABSENT, scale), question)
    eps = question.x_t.tanh() + scale * GIVEN["shift"]  # u + scale (c - u), Ho & Salimans 2021
    t = torch.full((2,), 500)
    close(prediction, PROCESS.predict(eps, question.x_t, t))


def test_the_variance_is_the_conditional_ones() -> None:
    process = Process(ProcessConfig(prediction="eps", variance="learned_range"))

    def network(rows: Rows) -> Tensor:
        return torch.cat([rows.x_t, rows.conditions["shift"].expand_as(rows.x_t)], dim=1)

    prediction, _ = answered(classifier_free(process, GIVEN, ABSENT, 3.0), query(), network)
    assert prediction.variance_mix is not None
    assert prediction.variance_mix[:, 0].tolist() == [1.0, 1.5]  # (shift + 1) / 2


def test_clamp_comes_after_guidance_and_keeps_x_t() -> None:
    question = query()
    free = classifier_free(PROCESS, GIVEN, ABSENT, 3.0)
    prediction, (rows,) = answered(clamp(PROCESS, free), question)
    expected, _ = answered(free, question)
    assert len(rows.x_t) == 4
    assert expected.x0.abs().max() > 1
    torch.testing.assert_close(prediction.x0, expected.x0.clamp(-1, 1))
    t = torch.full((2,), 500)
    torch.testing.assert_close(PROCESS.q_sample(prediction.x0, t, prediction.eps), question.x_t)


def deviation(x0: Tensor) -> Tensor:
    return x0.std(dim=1)


def test_rescaling_by_0_changes_no_bit() -> None:
    question = query()
    expected, _ = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0), question)
    prediction, _ = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0, rescale=0.0), question)
    assert torch.equal(prediction.x0, expected.x0)
    assert torch.equal(prediction.eps, expected.eps)


def spread(rows: Rows) -> Tensor:
    """A network that every condition spreads by its own amount."""
    return rows.x_t.tanh() * (1 - rows.conditions["shift"])


@pytest.mark.parametrize("rescale", [0.3, 0.7, 1.0])
def test_rescaling_takes_each_row_towards_the_deviation_of_the_conditional(rescale: float) -> None:
    question = query()
    guided, _ = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0), question, spread)
    plain, _ = answered(conditional(PROCESS, GIVEN), question, spread)
    assert not torch.allclose(deviation(guided.x0), deviation(plain.x0), rtol=0.1)
    rescaled, _ = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0, rescale=rescale), question, spread)
    expected = rescale * deviation(plain.x0) + (1 - rescale) * deviation(guided.x0)
    torch.testing.assert_close(deviation(rescaled.x0), expected, rtol=1e-5, atol=0)
    factor = expected / deviation(guided.x0)  # the picture itself is the guided one (Lin et al. 2024)
    torch.testing.assert_close(rescaled.x0, guided.x0 * factor[:, None], rtol=1e-5, atol=1e-6)


def test_a_rescaled_prediction_still_describes_x_t() -> None:
    question = query()
    prediction, _ = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0, rescale=0.7), question, spread)
    t = torch.full((2,), 500)
    torch.testing.assert_close(PROCESS.q_sample(prediction.x0, t, prediction.eps), question.x_t)


def test_rescaling_keeps_the_variance() -> None:
    process = Process(ProcessConfig(prediction="eps", variance="learned_range"))

    def network(rows: Rows) -> Tensor:
        return torch.cat([rows.x_t, rows.conditions["shift"].expand_as(rows.x_t)], dim=1)

    prediction, _ = answered(classifier_free(process, GIVEN, ABSENT, 3.0, rescale=0.5), query(), network)
    assert prediction.variance_mix is not None
    assert prediction.variance_mix[:, 0].tolist() == [1.0, 1.5]


def test_a_flat_picture_is_left_as_it_is() -> None:
    flat = classifier_free(Process(ProcessConfig()), GIVEN, ABSENT, 3.0, rescale=1.0)
    prediction, _ = answered(flat, query(), lambda rows: rows.conditions["shift"].expand(4, 4))
    torch.testing.assert_close(prediction.x0, 3 * GIVEN["shift"].expand(2, 4))


def says(x0: Tensor) -> Callable[[Rows], Tensor]:
    return lambda _: x0


def thresholded(x0: Tensor, percentile: float, limit: float = 1.0) -> tuple[Prediction, Query, Process]:
    """What becomes of rows of x0, the query, and the process."""
    process, question = Process(ProcessConfig(x0_limit=limit)), Query(torch.randn_like(x0), 500)
    guide = dynamic_threshold(process, conditional(process, {}), percentile)
    return answered(guide, question, says(x0))[0], question, process


@pytest.mark.parametrize("limit", [1.0, 5.0])
@pytest.mark.parametrize("percentile", [0.5, 0.9, 1.0])
def test_the_threshold_is_the_rows_own_quantile(percentile: float, limit: float) -> None:
    x0 = limit * torch.randn(3, 2, 5, 10) * torch.tensor([1.5, 3.0, 9.0]).view(3, 1, 1, 1)
    prediction, question, process = thresholded(x0, percentile, limit)
    for before, after in zip(x0, prediction.x0, strict=True):
        s = max(limit, before.abs().flatten().quantile(percentile).item())
        torch.testing.assert_close(after, before.clamp(-s, s) * limit / s)
    assert prediction.x0.abs().max().item() == pytest.approx(limit)
    t = torch.full((3,), 500)
    torch.testing.assert_close(process.q_sample(prediction.x0, t, prediction.eps), question.x_t)


def test_a_threshold_at_the_maximum_keeps_every_ratio() -> None:
    x0 = 4 * torch.randn(2, 30)
    after = thresholded(x0, 1.0)[0].x0
    torch.testing.assert_close(after * x0.abs().amax(dim=1, keepdim=True), x0)


@pytest.mark.parametrize("percentile", [0.5, 1.0])
def test_what_is_within_the_range_is_left_as_it_is(percentile: float) -> None:
    x0 = 2 * torch.rand(2, 30) - 1
    assert torch.equal(thresholded(x0, percentile)[0].x0, x0)


def test_a_threshold_that_cuts_nothing_within_the_range_is_a_clamp() -> None:
    """Few values out of the range: their quantile lies within it."""
    x0 = torch.rand(2, 100)
    x0[:, :5] = 7.0
    assert torch.equal(thresholded(x0, 0.9)[0].x0, x0.clamp(-1, 1))


# Two estimates of x0 in one


@pytest.mark.parametrize("t", [0, 20, 500, 999])
def test_a_network_without_error_is_believed(t: int) -> None:
    question, plain = query(t), conditional(Process(ProcessConfig()), GIVEN)
    expected, _ = answered(plain, question)
    close(answered(fused(PROCESS, plain, torch.zeros(2)), question)[0], expected)


@pytest.mark.parametrize("t", [0, 20, 500])
def test_a_network_that_knows_nothing_leaves_x_t(t: int) -> None:
    question, plain = query(t), conditional(PROCESS, GIVEN)
    prediction, _ = answered(fused(PROCESS, plain, torch.full((2,), 1e9)), question)
    signal, _ = PROCESS.scales(torch.full((2,), t), question.x_t)
    torch.testing.assert_close(prediction.x0, question.x_t / signal)
    assert prediction.eps.abs().max() < 1e-2


def test_estimates_weigh_by_their_inverse_variances() -> None:
    process, question = Process(ProcessConfig()), query(500)
    plain, error = conditional(process, GIVEN), torch.tensor([0.3, 2.0])
    network, _ = answered(plain, question)
    prediction, _ = answered(fused(process, plain, error), question)
    alpha_bar = process.schedule.alpha_bar(500)
    weights = 1 / error[:, None].square(), alpha_bar / (1 - alpha_bar)
    other = question.x_t / alpha_bar**0.5
    expected = (weights[0] * network.x0 + weights[1] * other) / (weights[0] + weights[1])
    torch.testing.assert_close(prediction.x0, expected)


@pytest.mark.parametrize("error", [0.0, 0.1, 1e3])
def test_a_fused_prediction_describes_x_t(error: float) -> None:
    for t in (5, 100, 500, 999):
        question = query(t)
        prediction, asked = answered(
            fused(PROCESS, conditional(PROCESS, GIVEN), torch.tensor([error, 0.2])), question
        )
        again = PROCESS.q_sample(prediction.x0, torch.full((2,), t), prediction.eps)
        torch.testing.assert_close(again, question.x_t, atol=1e-5, rtol=1e-5)
        assert len(asked) == 1


# What is known of a picture

MASK = torch.tensor([[True, False, True, False], [False, False, True, True]])
KNOWN = torch.linspace(-1, 1, 8).view(2, 4)


def test_what_is_known_comes_back_and_the_rest_is_the_guides() -> None:
    question, plain = query(), conditional(PROCESS, GIVEN)
    noise = torch.randn(2, 4)
    prediction, (rows,) = answered(known_region(PROCESS, plain, KNOWN, MASK, lambda: noise), question)
    within, _ = answered(plain, Query(rows.x_t, 500))
    assert torch.equal(prediction.x0[MASK], KNOWN[MASK])
    assert torch.equal(prediction.x0[~MASK], within.x0[~MASK])
    again = PROCESS.q_sample(prediction.x0, rows.t, prediction.eps)
    torch.testing.assert_close(again, question.x_t)


@pytest.mark.parametrize("t", [0, 500, 999])
def test_the_network_sees_what_is_known_as_noisy_as_the_rest(t: int) -> None:
    question, noise = query(t), torch.randn(2, 4)
    guide = known_region(PROCESS, conditional(PROCESS, GIVEN), KNOWN, MASK, lambda: noise)
    _, (rows,) = answered(guide, question)
    noisy = PROCESS.q_sample(KNOWN, torch.full((2,), t), noise)
    assert torch.equal(rows.x_t[MASK], noisy[MASK])
    assert torch.equal(rows.x_t[~MASK], question.x_t[~MASK])
    assert rows.t.tolist() == [t, t]


def test_every_query_shows_what_is_known_in_new_noise() -> None:
    guide = known_region(PROCESS, conditional(PROCESS, GIVEN), KNOWN, MASK, lambda: torch.randn(2, 4))
    question = query()
    seen = [answered(guide, question)[1][0].x_t for _ in range(2)]
    assert not torch.equal(seen[0][MASK], seen[1][MASK])
    assert torch.equal(seen[0][~MASK], seen[1][~MASK])


def test_where_nothing_is_known_nothing_changes() -> None:
    question, plain = query(), classifier_free(PROCESS, GIVEN, ABSENT, 3.0)
    none = torch.zeros(2, 4, dtype=torch.bool)
    found, (rows,) = answered(known_region(PROCESS, plain, KNOWN, none, lambda: torch.randn(2, 4)), question)
    expected, (asked,) = answered(plain, question)
    assert torch.equal(rows.x_t, asked.x_t)
    close(found, expected)


def test_the_variance_of_what_is_not_known_stays() -> None:
    process = Process(ProcessConfig(prediction="eps", variance="learned_range"))

    def network(rows: Rows) -> Tensor:
        return torch.cat([rows.x_t, rows.conditions["shift"].expand_as(rows.x_t)], dim=1)

    plain = conditional(process, GIVEN)
    for guide in (
        known_region(process, plain, KNOWN, MASK, lambda: torch.randn(2, 4)),
        fused(process, plain, torch.tensor([0.1, 0.2])),
    ):
        prediction, _ = answered(guide, query(), network)
        assert prediction.variance_mix is not None
        assert prediction.variance_mix[:, 0].tolist() == [1.0, 1.5]
