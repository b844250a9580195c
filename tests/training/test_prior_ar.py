import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unclip import presets
from unclip.data.example import Example
from unclip.diffusion.noise import generator
from unclip.models.prior_ar import PriorAr
from unclip.training import prior_ar
from unclip.training.batches import Batch, Steps
from unclip.training.conditions import TextConditions
from unclip.training.prior_ar import PriorArTask

CPU = torch.device("cpu")
CAPTIONS = ["a red cube", "a blue cube", "a red apple", "a blue apple"]


def seeded() -> torch.Generator:
    return generator(CPU, "test")


def draw(index: int) -> Example:
    """A picture of two numbers: a brightness, and that of a corner."""
    level, corner = np.random.default_rng(index).integers(0, 256, 2)
    image = np.full((64, 64, 3), level, dtype=np.uint8)
    image[:32, :32] = corner
    return Example(image, CAPTIONS[index % 4])


STEPS = Steps(draw, 32)


@pytest.fixture
def task(conditions: TextConditions) -> PriorArTask:
    return PriorArTask(conditions)


@pytest.fixture
def prior(task: PriorArTask) -> PriorAr:
    config = presets.tiny().prior_ar
    assert config is not None
    prior = PriorAr(config)
    task.prepare(prior, STEPS)
    return prior


def embeds(task: PriorArTask, batch: Batch) -> tuple[Tensor, Tensor]:
    return (
        task.conditions.image(batch.pixels(CPU)),
        task.conditions.text(batch.captions)["text_embed"],
    )


def test_preparing_fits_components_and_buckets(prior: PriorAr, task: PriorArTask) -> None:
    pairs = [embeds(task, STEPS[step]) for step in range(2)]  # FITTED_ON is 64 here
    image, text = (torch.cat(part) for part in zip(*pairs, strict=True))
    expected = PriorAr(prior.config)
    expected.fit(image, text)
    for name, table in expected.named_buffers():
        torch.testing.assert_close(prior.get_buffer(name), table)


def test_components_and_buckets_that_came_with_the_weights_stay(prior: PriorAr, task: PriorArTask) -> None:
    before = {name: table.clone() for name, table in prior.named_buffers()}
    task.prepare(prior, Steps(lambda index: draw(index + 1000), 32))
    assert all(torch.equal(table, before[name]) for name, table in prior.named_buffers())


@dataclass
class Asked:
    """What the network was asked, its answers replaced."""

    tokens: Tensor
    conditions: dict[str, Tensor]


def answering(
    prior: PriorAr, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Tensor], Tensor]
) -> list[Asked]:
    asked = list[Asked]()

    def logits(tokens: Tensor, **conditions: Tensor) -> Tensor:
        asked.append(Asked(tokens, conditions))
        return answer(tokens)

    monkeypatch.setattr(prior, "logits", logits)
    return asked


def test_knowing_nothing_costs_the_logarithm_of_the_buckets(
    prior: PriorAr, task: PriorArTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = prior.config.buckets
    answering(prior, monkeypatch, lambda tokens: torch.zeros(*tokens.shape, buckets))
    assert task.loss(prior, STEPS[0], seeded()).item() == pytest.approx(math.log(buckets))


def test_knowing_every_token_costs_nothing(
    prior: PriorAr, task: PriorArTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(prior, monkeypatch, lambda tokens: 100 * F.one_hot(tokens, prior.config.buckets).float())
    assert task.loss(prior, STEPS[0], seeded()).item() == pytest.approx(0, abs=1e-6)


def test_captions_are_dropped_at_their_rate_and_the_products_stay(
    prior: PriorAr, task: PriorArTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Steps(draw, 600)[0]
    asked = answering(prior, monkeypatch, lambda tokens: torch.zeros(*tokens.shape, prior.config.buckets))
    task.loss(prior, batch, seeded())
    (seen,) = asked
    empty = task.conditions.text([""])["text_mask"].sum()
    dropped = (seen.conditions["text_mask"].sum(dim=1) == empty).float().mean().item()
    assert dropped == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / 600))
    assert torch.equal(seen.tokens, prior.quantise(*embeds(task, batch)))


def test_the_loss_tells_every_weight_something(prior: PriorAr, task: PriorArTask) -> None:
    task.loss(prior, STEPS[0], seeded()).backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_tokens_do_not_depend_on_the_precision(prior: PriorAr, task: PriorArTask) -> None:
    """Embeddings in bfloat16 would fall into other buckets."""
    batch = STEPS[0]
    with torch.autocast("cpu", torch.bfloat16):
        found: Any = task._embeds(prior, batch)
        tokens = prior.quantise(*found)
    assert torch.equal(tokens, prior.quantise(*embeds(task, batch)))


def test_a_prior_that_knows_draws_the_true_embedding(
    prior: PriorAr, task: PriorArTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = STEPS[0]
    true = prior.quantise(*embeds(task, batch))

    def answer(x_t: Tensor, t: Tensor, **conditions: Tensor) -> Tensor:
        return 100 * F.one_hot(true[torch.arange(len(x_t)), t], prior.config.buckets).float()

    monkeypatch.setattr(prior, "forward", answer)
    with torch.no_grad():
        measured = task.probe(prior, batch, seeded())
    assert measured["cosine"] > 0.99
    assert measured["cosine_shuffled"] < measured["cosine"]
    assert 0.5 < measured["kept_variance"] <= 1


def test_a_probe_draws_for_few_and_hears_captions(
    prior: PriorAr, task: PriorArTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list[int]()
    forward = cast(Callable[..., Tensor], prior.forward)
    monkeypatch.setattr(prior, "forward", lambda x_t, t, **c: rows.append(len(x_t)) or forward(x_t, t, **c))
    monkeypatch.setattr(prior_ar, "PROBED", 5)
    with torch.no_grad():
        measured = task.probe(prior, STEPS[0], seeded())
    assert rows == [5] * prior.config.num_tokens
    assert measured.keys() == {"kept_variance", "text_gap", "cosine", "cosine_shuffled"}
    deaf = {
        name: rows.zero_()
        for name, rows in prior.state_dict().items()
        if "project_en" in name or "project_te" in name
    }
    assert deaf
    with torch.no_grad():
        assert task.probe(prior, STEPS[0], seeded())["text_gap"] == pytest.approx(0, abs=1e-6)
