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


CAPTIONS = ["a red cube", "", "a blue apple on a table with a red apple on a red cube"]


def test_text_conditions_do_not_depend_on_the_batch(system: System) -> None:
    together = text(system, *CAPTIONS)
    lengths = [system.tokenizer.count(caption) for caption in CAPTIONS]
    assert together["text_mask"].sum(dim=1).tolist() == lengths
    for k, caption in enumerate(CAPTIONS):
        alone = text(system, caption)
        torch.testing.assert_close(together["text_embed"][k], alone["text_embed"][0])
        found, expected = (c["text_encodings"][i, : lengths[k]] for c, i in ((together, k), (alone, 0)))
        torch.testing.assert_close(found, expected)


def test_padding_is_left_off_but_for_a_few_tokens(system: System) -> None:
    for caption in CAPTIONS:
        needed, kept = system.tokenizer.count(caption), text(system, caption)["text_mask"].shape[1]
        assert needed <= kept < needed + 8
    assert text(system, "cube " * 100)["text_mask"].shape[1] == system.tokenizer.context_length


def test_the_absent_caption_stands_beside_every_other(system: System) -> None:
    given, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, CAPTIONS)
    alone = text(system, "")
    for name, tensor in given.items():
        torch.testing.assert_close(tensor, text(system, *CAPTIONS)[name])
        assert empty[name].shape == tensor.shape
        assert torch.equal(empty[name], empty[name][:1].expand_as(tensor))
    torch.testing.assert_close(empty["text_embed"][:1], alone["text_embed"])
    assert empty["text_mask"].sum(dim=1).tolist() == [system.tokenizer.count("")] * 3


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
    kept = stages.nearest_to_text(prior.network.unwhiten(white), text_embed)
    for k in range(3):
        candidates = prior.network.unwhiten(white)[5 * k : 5 * k + 5]
        products = candidates @ text_embed[k]
        assert torch.equal(kept[k], candidates[products.argmax()])
        assert kept[k] @ text_embed[k] >= products.max() - 1e-5


def test_candidates_of_a_seed_stand_side_by_side(system: System, prior: Stage[Prior]) -> None:
    given, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, ["a red cube", "a blue apple"])
    both = finish(run(stages.prior(prior, PRIOR_SETTINGS, given, empty, [3, 4], candidates=3)))
    given, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, ["a blue apple"])
    second = finish(run(stages.prior(prior, PRIOR_SETTINGS, given, empty, [4], candidates=3)))
    torch.testing.assert_close(both[3:], second)
    assert len(second.unique(dim=0)) == 3


def test_every_prediction_is_within_the_stages_range(system: System, prior: Stage[Prior]) -> None:
    hard = SamplingDefaults("ddim", 3, guidance_scale=100.0)
    given, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, ["a red cube"])
    denoising = stages.prior(prior, hard, given, empty, [1], 4)
    limit = prior.process.config.x0_limit
    largest = max(step.x0.abs().max().item() for step in run(denoising))
    assert largest == pytest.approx(limit)


def test_the_decoder_is_guided_from_no_embedding_and_no_caption(system: System) -> None:
    assert system.decoder is not None
    embed = torch.randn(2, system.decoder.network.config.embed_dim)
    given, empty = stages.encode_text_and_empty(system.clip, system.tokenizer, ["a red cube", "a blue apple"])
    rows = list[Any]()

    def network(x_t: torch.Tensor, t: torch.Tensor, **conditions: torch.Tensor) -> torch.Tensor:
        rows.append(conditions)
        return x_t

    denoising = stages.decoder(system.decoder, PRIOR_SETTINGS, embed, given, empty, [1, 2])
    answer(Query(torch.randn(2, 3, 64, 64), 500), denoising.guide, network)
    (asked,) = rows
    assert asked["image_mask"].tolist() == [False, False, True, True]
    for name in ("text_embed", "text_encodings", "text_mask"):
        assert torch.equal(asked[name], torch.cat([empty[name], given[name]]))


def test_the_upsampler_sees_the_small_picture_and_no_guidance(system: System) -> None:
    low_res = torch.rand(2, 3, 64, 64) * 2 - 1
    denoising = stages.upsampler(system.upsamplers[0], SamplingDefaults("ddim", 1), low_res, [1, 2])
    assert (denoising.stage, denoising.num_steps) == ("upsampler256", 1)
    query = next(denoising.sampling)
    assert query.x_t.shape == (2, 3, 256, 256)
    rows = next(denoising.guide(query))
    assert len(rows.x_t) == 2
    assert torch.equal(rows.conditions["low_res"], low_res)


def test_a_guided_decoder_is_asked_one_row_with_the_scale(distilled_system: System) -> None:
    assert distilled_system.distilled is not None
    embed = torch.randn(2, distilled_system.distilled.network.config.embed_dim)
    captions = ["a red cube", "a blue apple"]
    given, empty = stages.encode_text_and_empty(distilled_system.clip, distilled_system.tokenizer, captions)
    settings = SamplingDefaults("ddim", 3, guidance_scale=3.5)
    denoising = stages.decoder(distilled_system.distilled, settings, embed, given, empty, [1, 2])
    rows = next(denoising.guide(Query(torch.randn(2, 3, 64, 64), 500)))
    assert rows.conditions["guidance"].tolist() == [3.5, 3.5]
    assert rows.conditions["image_mask"].tolist() == [True, True]
    assert torch.equal(rows.conditions["text_embed"], given["text_embed"])
