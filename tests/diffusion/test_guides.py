from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unclip.diffusion.guides import Conditions, Guide, Rows, clamp, classifier_free, conditional
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
    ("scale", "interval"), [(1.0, None), (3.0, (0, 499)), (3.0, (501, 999)), (3.0, (9, 0))]
)
def test_guidance_that_is_off_asks_no_second_row(scale: float, interval: tuple[int, int] | None) -> None:
    question = query()
    prediction, asked = answered(classifier_free(PROCESS, GIVEN, ABSENT, scale, interval), question)
    expected, (rows,) = answered(conditional(PROCESS, GIVEN), question)
    assert [len(rows.x_t) for rows in asked] == [2]
    assert torch.equal(asked[0].conditions["shift"], rows.conditions["shift"])
    close(prediction, expected)


@pytest.mark.parametrize("interval", [None, (0, 999), (500, 500)])
def test_guidance_asks_with_and_without_the_conditions(interval: tuple[int, int] | None) -> None:
    _, (rows,) = answered(classifier_free(PROCESS, GIVEN, ABSENT, 3.0, interval), query())
    assert rows.t.tolist() == [500] * 4
    assert rows.conditions["shift"].flatten().tolist() == [1, 2, 0, 0]
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
