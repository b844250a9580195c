from typing import Any

import pytest
import torch

from unclip.diffusion.driver import answer, finish, run
from unclip.diffusion.samplers import Query
from unclip.errors import RequestError
from unclip.models.prior import Prior
from unclip.pipelines import stages
from unclip.system import SamplingDefaults, Stage, System

PRIOR_SETTINGS = SamplingDefaults("dpm++", 2, guidance_scale=2.0)


@pytest.fixture
def prior(system: System) -> Stage[Prior]:
    assert system.prior is not None
    return system.prior


def text(system: System, *captions: str) -> Any:
    return stages.encode_text(system.clip, system.tokenizer, captions)


def test_text_conditions_do_not_depend_on_the_batch(system: System) -> None:
    together, alone = text(system, "a red cube", "", "a blue apple on a table"), text(system, "")
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name][1:2], tensor)
    assert together["text_mask"].sum(dim=1).tolist() == [
        system.tokenizer.count(c) for c in ("a red cube", "")
    ] + [system.tokenizer.count("a blue apple on a table")]


def test_settings_are_the_defaults_but_for_what_is_asked(prior: Stage[Prior]) -> None:
    assert stages.settings(prior) == prior.defaults
    assert stages.settings(prior, sampler=None, num_steps=None) == prior.defaults
    asked = stages.settings(prior, sampler="ddpm", num_steps=7, guidance_scale=0.0)
    assert asked == SamplingDefaults("ddpm", 7, guidance_scale=0.0)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"sampler": "euler"}, "'euler' is not one of ddpm, ddim, dpm\\+\\+"),
        ({"num_steps": 0}, "between 1 and 1000, not 0"),
        ({"num_steps": 1001}, "between 1 and 1000, not 1001"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    prior: Stage[Prior], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        stages.settings(prior, **asked)


def test_the_nearest_candidate_is_kept(prior: Stage[Prior]) -> None:
    white = torch.randn(3 * 5, prior.network.config.embed_dim)
    text_embed = torch.randn(3, prior.network.config.embed_dim)
    kept = stages.nearest_to_text(prior, white, text_embed)
    for k in range(3):
        candidates = prior.network.unwhiten(white)[5 * k : 5 * k + 5]
        products = candidates @ text_embed[k]
        assert torch.equal(kept[k], candidates[products.argmax()])
        assert kept[k] @ text_embed[k] >= products.max() - 1e-5


def test_candidates_of_a_seed_stand_side_by_side(system: System, prior: Stage[Prior]) -> None:
    given, empty = text(system, "a red cube", "a blue apple"), text(system, "", "")
    both = finish(run(stages.prior(prior, PRIOR_SETTINGS, given, empty, [3, 4], candidates=3)))
    given, empty = text(system, "a blue apple"), text(system, "")
    second = finish(run(stages.prior(prior, PRIOR_SETTINGS, given, empty, [4], candidates=3)))
    torch.testing.assert_close(both[3:], second)
    assert len(second.unique(dim=0)) == 3


def test_every_prediction_is_within_the_stages_range(system: System, prior: Stage[Prior]) -> None:
    hard = SamplingDefaults("ddim", 3, guidance_scale=100.0)
    denoising = stages.prior(prior, hard, text(system, "a red cube"), text(system, ""), [1], 4)
    limit = prior.process.config.x0_limit
    largest = max(step.x0.abs().max().item() for step in run(denoising))
    assert largest == pytest.approx(limit)


def test_the_decoder_is_guided_from_no_embedding_and_no_caption(system: System) -> None:
    assert system.decoder is not None
    embed = torch.randn(2, system.decoder.network.config.embed_dim)
    given, empty = text(system, "a red cube", "a blue apple"), text(system, "", "")
    rows = list[Any]()

    def network(x_t: torch.Tensor, t: torch.Tensor, **conditions: torch.Tensor) -> torch.Tensor:
        rows.append(conditions)
        return x_t

    denoising = stages.decoder(system.decoder, PRIOR_SETTINGS, embed, given, empty, [1, 2])
    answer(Query(torch.randn(2, 3, 64, 64), 500), denoising.guide, network)
    (asked,) = rows
    assert asked["image_mask"].tolist() == [True, True, False, False]
    for name in ("text_embed", "text_encodings", "text_mask"):
        assert torch.equal(asked[name], torch.cat([given[name], empty[name]]))


def test_the_upsampler_sees_the_small_picture_and_no_guidance(system: System) -> None:
    low_res = torch.rand(2, 3, 64, 64) * 2 - 1
    denoising = stages.upsampler(system.upsamplers[0], SamplingDefaults("ddim", 1), low_res, [1, 2])
    assert (denoising.stage, denoising.num_steps) == ("upsampler256", 1)
    query = next(denoising.sampling)
    assert query.x_t.shape == (2, 3, 256, 256)
    rows = next(denoising.guide(query))
    assert len(rows.x_t) == 2
    assert torch.equal(rows.conditions["low_res"], low_res)
