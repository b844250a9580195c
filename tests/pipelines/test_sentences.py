from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from unclip.diffusion.driver import Plan, drive, finish
from unclip.errors import RequestError
from unclip.pipelines import stages
from unclip.pipelines.sentences import PriorSettings, check_prior, draw_embeds, prior_resolved
from unclip.system import System

PROMPTS = ["a red cube", "a blue apple"]


def drawn(system: System, seeds: tuple[int, ...] = (5, 6), **settings: Any) -> Tensor:
    """The image embeddings of as many prompts as seeds."""
    prompts = PROMPTS[: len(seeds)]
    text, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, prompts)
    return finish(drive(only_embeds(system, text, empty, seeds, PriorSettings(**settings))))


def only_embeds(system: System, text: Any, empty: Any, seeds: Any, asked: PriorSettings) -> Plan:
    return (yield from draw_embeds(system, text, empty, seeds, asked))


def measured(system: System, *moments: float) -> System:
    """The system, its prior's noise said to have these mean squares."""
    assert system.prior is not None
    return replace(system, prior=replace(system.prior, eps_moments=moments))


@pytest.mark.parametrize("kind", ["diffusion", "ar"])
def test_each_prior_draws_an_embedding_for_each_sentence(ar_system: System, kind: Any) -> None:
    embeds = drawn(ar_system, kind=kind)
    assert embeds.shape == (2, 16)
    assert embeds.isfinite().all()
    assert torch.equal(embeds, drawn(ar_system, kind=kind))
    other = drawn(ar_system, seeds=(7, 8), kind=kind)
    assert not torch.allclose(embeds, other, atol=1e-3)


@pytest.mark.parametrize("kind", ["diffusion", "ar"])
def test_an_embedding_does_not_depend_on_its_company(ar_system: System, kind: Any) -> None:
    together = drawn(ar_system, kind=kind)
    torch.testing.assert_close(drawn(ar_system, seeds=(5,), kind=kind)[0], together[0])


def test_embeddings_of_tokens_have_the_length_of_clips(ar_system: System) -> None:
    torch.testing.assert_close(drawn(ar_system, kind="ar").norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("kind", ["diffusion", "ar"])
def test_of_more_candidates_one_nearer_the_sentence_is_kept(ar_system: System, kind: Any) -> None:
    text = stages.encode_text(ar_system.clip, ar_system.tokenizer, PROMPTS)["text_embed"]
    few, many = ((drawn(ar_system, kind=kind, candidates=k) * text).sum() for k in (1, 16))
    assert many > few


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("diffusion", {"guidance_scale": 5.0}),
        ("diffusion", {"steps": 5}),
        ("diffusion", {"sampler": "ddpm"}),
        ("diffusion", {"candidates": 1}),
        ("ar", {"guidance_scale": 30.0}),
        ("ar", {"candidates": 9}),
    ],
)
def test_every_setting_changes_the_embeddings(ar_system: System, kind: Any, changes: dict[str, Any]) -> None:
    found = drawn(ar_system, kind=kind, **changes)
    assert not torch.allclose(found, drawn(ar_system, kind=kind), atol=1e-3)


@pytest.mark.parametrize("kind", ["diffusion", "ar"])
def test_a_scale_of_1_is_no_guidance(ar_system: System, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ar_system.prior is not None
    network, rows = (ar_system.prior.network if kind == "diffusion" else ar_system.prior_ar), list[int]()
    assert network is not None
    forward = network.forward
    monkeypatch.setattr(
        network, "forward", lambda x_t, *a, **k: (rows.append(len(x_t)), forward(x_t, *a, **k))[1]
    )
    one = drawn(ar_system, kind=kind, guidance_scale=1.0, candidates=1)
    assert set(rows) == {2}
    assert torch.equal(one, drawn(ar_system, kind=kind, candidates=1))  # the tiny prior's own
    rows.clear()
    drawn(ar_system, kind=kind, guidance_scale=2.0, candidates=1)
    assert set(rows) == {4}


def test_the_analytic_sampler_takes_the_moments_that_were_measured(system: System) -> None:
    """Where nothing is known beyond noise it adds nothing to ddpm; elsewhere it does."""
    ddpm = drawn(system, sampler="ddpm", steps=5)
    noise, less = measured(system, 1.0, 1.0), measured(system, 0.2, 0.5, 0.9)
    assert torch.equal(drawn(noise, sampler="analytic", steps=5), ddpm)
    assert not torch.allclose(drawn(less, sampler="analytic", steps=5), ddpm, atol=1e-3)


def test_a_prior_that_was_not_measured_has_no_analytic_sampler(system: System) -> None:
    message = "sampler 'analytic' needs moments .* measure a prior's with `unclip model analytic`"
    with pytest.raises(RequestError, match=message):
        check_prior(system, PriorSettings(sampler="analytic"))


def test_the_prior_that_is_there_draws(ar_system: System) -> None:
    assert check_prior(ar_system, PriorSettings()) == "diffusion"
    assert check_prior(ar_system, PriorSettings("ar")) == "ar"
    only_ar = replace(ar_system, prior=None)
    assert check_prior(only_ar, PriorSettings()) == "ar"
    assert torch.equal(drawn(only_ar), drawn(ar_system, kind="ar"))
    with pytest.raises(RequestError, match="a sentence needs a prior"):
        check_prior(only_ar, PriorSettings("diffusion"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gan"}, "prior 'gan' is not one of diffusion, ar"),
        ({"candidates": 0}, "candidates must be at least 1, not 0"),
        ({"guidance_scale": 101.0}, "prior_guidance_scale must be between 0 and 100, not 101"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"sampler": "euler"}, "sampler 'euler' is not one of"),
        ({"kind": "ar", "steps": 5}, "draws its tokens one by one: leave steps and sampler out"),
        ({"kind": "ar", "sampler": "ddim"}, "draws its tokens one by one: leave steps and sampler out"),
        ({"kind": "ar", "guidance_scale": -1.0}, "prior_guidance_scale must be between 0 and 100, not -1"),
    ],
)
def test_what_no_prior_can_do_is_refused(ar_system: System, changes: dict[str, Any], message: str) -> None:
    asked = PriorSettings()
    for name, value in changes.items():
        object.__setattr__(asked, name, value)  # as a caller without types may
    with pytest.raises(RequestError, match=message):
        check_prior(ar_system, asked)


def test_a_model_without_an_autoregressive_prior_refuses_it(system: System) -> None:
    with pytest.raises(RequestError, match="no autoregressive prior: train one with `unclip train prior-ar`"):
        check_prior(system, PriorSettings("ar"))
    with pytest.raises(
        RequestError, match="a sentence needs a prior and a decoder: load the model with both"
    ):
        check_prior(replace(system, prior=None), PriorSettings())


def test_resolved_settings_are_those_that_draw(ar_system: System) -> None:
    assert prior_resolved(ar_system, PriorSettings()) == {
        "prior": "diffusion",
        "candidates": 2,
        "prior_guidance_scale": 1.0,
        "prior_steps": 2,
        "prior_sampler": "dpm++",
    }
    assert prior_resolved(ar_system, PriorSettings("ar", candidates=3)) == {
        "prior": "ar",
        "candidates": 3,
        "prior_guidance_scale": 1.0,
        "prior_steps": None,
        "prior_sampler": None,
    }
    found = prior_resolved(ar_system, PriorSettings(guidance_scale=2.0, steps=7, sampler="ddim"))
    assert [found[f"prior_{name}"] for name in ("guidance_scale", "steps", "sampler")] == [2.0, 7, "ddim"]
