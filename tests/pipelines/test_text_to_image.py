from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unclip.diffusion.driver import drive, finish
from unclip.diffusion.noise import derived_seed
from unclip.errors import RequestError
from unclip.pipelines.checks import LARGEST_SEED
from unclip.pipelines.given import embed
from unclip.pipelines.stages import encode_text
from unclip.pipelines.text_to_image import TextToImage, checked, is_distilled, resolved, text_to_image
from unclip.system import SamplingDefaults, System

REQUEST = TextToImage("a red cube on a table", n=2, seed=5, size=64)


def draw(system: System, request: TextToImage = REQUEST, **changes: Any) -> Tensor:
    return finish(drive(text_to_image(system, replace(request, **changes))))


def differ(left: Tensor, right: Tensor) -> bool:
    """Beyond what the order of sums can do."""
    return (left - right).abs().max().item() > 1e-4


@pytest.fixture(scope="module")
def pictures(system: System) -> Tensor:
    return draw(system)


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_pictures_have_the_size_asked_for(system: System, size: int) -> None:
    images = draw(system, n=1, size=size)
    assert images.shape == (1, 3, size, size)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.abs().max() <= 1


def test_stages_follow_each_other_up_to_the_size(system: System) -> None:
    steps = [step.stage for step in drive(text_to_image(system, replace(REQUEST, size=256, steps=3)))]
    assert steps == ["prior"] * 2 + ["decoder"] * 3 + ["upsampler256"] * 2


def test_the_same_request_gives_the_same_pixels(system: System) -> None:
    assert torch.equal(draw(system, size=256), draw(system, size=256))


@pytest.mark.parametrize(("sampler", "size"), [("ddpm", 64), ("ddim", 64), ("dpm++", 256)])
def test_a_picture_does_not_depend_on_its_company(system: System, sampler: str, size: int) -> None:
    together = draw(system, n=4, size=size, sampler=sampler)
    for k in range(4):
        alone = draw(system, n=1, seed=REQUEST.seed + k, size=size, sampler=sampler)
        assert not differ(together[k], alone[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a blue apple"},
        {"seed": 50},
        {"steps": 5},
        {"guidance_scale": 1.0},
        {"guidance_scale": 9.0},
        {"sampler": "ddpm"},
        {"prior_guidance_scale": 30.0},
        {"candidates": 1},
        {"negative": "a blue apple"},
        {"guidance_interval": (0, 500)},
        {"guidance_rescale": 0.7},
        {"dynamic_threshold": 1.0},
        {"prior_steps": 5},
        {"prior_sampler": "ddpm"},
        {"best_of": 4},
    ],
)
def test_every_setting_changes_the_picture(system: System, pictures: Tensor, changes: dict[str, Any]) -> None:
    assert differ(draw(system, **changes), pictures)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "  A  RED cube on a Table\n"},
        {"guidance_scale": 2.0},
        {"steps": 4},
        {"guidance_interval": (0, 999)},
        {"guidance_rescale": 0.0},
        {"prior": "diffusion"},
        {"prior_steps": 2},
        {"prior_sampler": "dpm++"},
        {"best_of": 1},
    ],
)
def test_what_says_the_same_gives_the_same_picture(
    system: System, pictures: Tensor, changes: dict[str, Any]
) -> None:
    assert torch.equal(draw(system, **changes), pictures)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": "a red cube " * 30}, "the model reads 32: shorten it"),
        ({"prompt": "\ud800"}, "surrogate"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"candidates": -1}, "candidates must be at least 1, not -1"),
        ({"seed": -1}, "seed must be between 0 and .*, not -1"),
        ({"seed": LARGEST_SEED}, "seed must be between"),
        ({"size": 512}, "size 512 is not one of 64, 256, 1024"),
        ({"steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"steps": 1001}, "steps must be between 1 and 1000, not 1001"),
        ({"guidance_scale": -0.1}, "guidance_scale must be between 0 and 100, not -0.1"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be between 0 and 100, not nan"),
        ({"prior_guidance_scale": 101.0}, "prior_guidance_scale must be between 0 and 100, not 101"),
        ({"sampler": "euler"}, "sampler 'euler' is not one of ddpm, ddim, dpm\\+\\+"),
        ({"sampler": "analytic"}, "needs moments that this stage was not measured for"),
        ({"best_of": 0}, "best_of must be at least 1, not 0"),
        ({"negative": " "}, "the negative sentence is empty"),
        ({"negative": "a red cube " * 30}, "the negative sentence has .* the model reads 32"),
        ({"guidance_interval": (1, 0)}, "guidance_interval must rise, not go from 1 to 0"),
        ({"guidance_rescale": 1.1}, "guidance_rescale must be between 0 and 1, not 1.1"),
        ({"dynamic_threshold": -0.1}, "dynamic_threshold must be between 0 and 1, not -0.1"),
        ({"dynamic_threshold": 0.0}, "dynamic_threshold must be above 0"),
        ({"prior": "ar"}, "this model has no autoregressive prior: train one with `unclip train prior-ar`"),
        ({"prior_steps": 0}, "steps must be between 1 and 1000, not 0"),
        ({"prior_sampler": "euler"}, "sampler 'euler' is not one of"),
        ({"prior_sampler": "analytic"}, "measure a prior's with `unclip model analytic`"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    system: System, changes: dict[str, Any], message: str
) -> None:
    request = replace(REQUEST, **changes)
    with pytest.raises(RequestError, match=message):
        checked(system, request)
    with pytest.raises(RequestError, match=message):
        next(drive(text_to_image(system, request)))


@pytest.mark.parametrize("stage", ["prior", "decoder"])
def test_a_system_without_prior_or_decoder_is_refused(system: System, stage: str) -> None:
    with pytest.raises(RequestError, match="load the model with both"):
        checked(replace(system, **{stage: None}), REQUEST)


def test_the_largest_seed_can_be_drawn(system: System) -> None:
    assert draw(system, n=1, seed=LARGEST_SEED - 1).shape == (1, 3, 64, 64)


def test_a_checked_request_is_the_one_that_is_run(system: System) -> None:
    assert checked(system, replace(REQUEST, prompt="  a cube ")) == replace(REQUEST, prompt="a cube")


def test_a_resolved_request_has_no_open_setting(system: System) -> None:
    found = resolved(system, REQUEST)
    assert found.keys() == asdict(REQUEST).keys()
    assert (found["steps"], found["guidance_scale"], found["sampler"]) == (4, 2.0, "dpm++")
    again = TextToImage(**found)  # pyright: ignore[reportArgumentType]
    assert torch.equal(draw(system, again), draw(system))
    assert resolved(system, replace(REQUEST, steps=9))["steps"] == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"negative": " a blue apple ", "guidance_interval": (100, 800), "best_of": 2},
        {"guidance_rescale": 0.7, "dynamic_threshold": 0.9},
        {"prior_steps": 3, "prior_sampler": "ddim", "prior_guidance_scale": 2.0},
    ],
)
def test_a_resolved_request_draws_the_same_again(system: System, changes: dict[str, Any]) -> None:
    found = resolved(system, replace(REQUEST, **changes))
    assert all(found[name] == value for name, value in changes.items())
    again = TextToImage(**found)  # pyright: ignore[reportArgumentType]
    assert torch.equal(draw(system, again), draw(system, **changes))
    assert resolved(system, again) == found


# Guidance


@pytest.mark.parametrize("changes", [{"guidance_scale": 1.0}, {"guidance_interval": (1, 300)}])
def test_guidance_that_is_off_asks_one_row_per_picture(
    system: System, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """The interval holds none of the steps, which are at 999, 666, 333 and 0."""
    assert decoder_rows(system, monkeypatch, **changes)["decoder"] == [2] * 4
    assert torch.equal(draw(system, **changes), draw(system, guidance_scale=1.0))


def test_guidance_takes_two_rows_within_its_interval_alone(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoder_rows(system, monkeypatch)["decoder"] == [4] * 4
    assert decoder_rows(system, monkeypatch, guidance_interval=(333, 666))["decoder"] == [2, 4, 4, 2]


def test_a_negative_sentence_counts_only_where_there_is_guidance(system: System) -> None:
    negative = {"negative": "a blue apple"}
    assert torch.equal(draw(system, guidance_scale=1.0, **negative), draw(system, guidance_scale=1.0))
    empty = {"guidance_interval": (1, 300)}
    assert torch.equal(draw(system, **empty, **negative), draw(system, **empty))
    assert differ(draw(system, **negative), draw(system, negative="a red apple"))


def test_the_prior_is_led_away_from_the_negative_sentence_too(system: System) -> None:
    off: dict[str, Any] = {"guidance_scale": 1.0, "prior_guidance_scale": 30.0}
    assert differ(draw(system, **off, negative="a blue apple"), draw(system, **off))


def test_a_picture_with_every_setting_does_not_depend_on_its_company(system: System) -> None:
    settings: dict[str, Any] = {
        "negative": "a blue apple",
        "guidance_interval": (0, 700),
        "guidance_rescale": 0.7,
        "dynamic_threshold": 0.9,
        "best_of": 2,
    }
    together = draw(system, n=2, **settings)
    for k in range(2):
        assert not differ(together[k], draw(system, n=1, seed=REQUEST.seed + k, **settings)[0])


# The prior


def test_the_autoregressive_prior_draws_where_it_is_asked_for(ar_system: System) -> None:
    images = draw(ar_system, prior="ar")
    assert differ(images, draw(ar_system))
    assert torch.equal(images, draw(ar_system, prior="ar"))
    assert torch.equal(images, draw(replace(ar_system, prior=None)))
    steps = [step.stage for step in drive(text_to_image(ar_system, replace(REQUEST, prior="ar")))]
    assert steps == ["prior"] * 7 + ["decoder"] * 4  # a step for each token


def test_the_autoregressive_prior_leaves_no_steps_open(ar_system: System) -> None:
    found = resolved(ar_system, replace(REQUEST, prior="ar"))
    assert (found["prior"], found["prior_steps"], found["prior_sampler"]) == ("ar", None, None)
    assert resolved(ar_system, REQUEST)["prior"] == "diffusion"
    again = TextToImage(**found)  # pyright: ignore[reportArgumentType]
    assert torch.equal(draw(ar_system, again), draw(ar_system, prior="ar"))
    with pytest.raises(RequestError, match="leave steps and sampler out"):
        checked(ar_system, replace(REQUEST, prior="ar", prior_steps=4))


def test_a_measured_prior_is_sampled_by_the_analytic_sampler(system: System) -> None:
    assert system.prior is not None
    asked: dict[str, Any] = {"prior_sampler": "analytic", "prior_steps": 5}
    for moments, same in (((1.0,), True), ((0.2, 0.9), False)):
        measured = replace(system, prior=replace(system.prior, eps_moments=moments))
        ddpm = draw(system, prior_sampler="ddpm", prior_steps=5)
        assert differ(draw(measured, **asked), ddpm) != same
        assert resolved(measured, replace(REQUEST, **asked))["prior_sampler"] == "analytic"


# The best of several


def test_the_candidate_nearest_the_sentence_is_kept(system: System) -> None:
    text = encode_text(system.clip, system.tokenizer, [REQUEST.prompt])["text_embed"]
    kept, places = draw(system, n=3, best_of=3), list[int]()
    for picture, seed in zip(kept, (5, 6, 7), strict=True):
        seeds = [seed] + [derived_seed(seed, "best of", k) % LARGEST_SEED for k in (1, 2)]
        candidates = torch.cat([draw(system, n=1, seed=each) for each in seeds])
        places.append(int(F.cosine_similarity(embed(system, candidates), text, dim=-1).argmax()))
        assert not differ(picture, candidates[places[-1]])
    assert len(set(places)) > 1  # or the test tells little


def test_one_candidate_is_the_picture_itself_whatever_its_size(system: System) -> None:
    for size in (64, 256):
        assert torch.equal(draw(system, size=size, best_of=1), draw(system, size=size))


def test_candidates_are_small_and_one_of_them_is_enlarged(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoder_rows(system, monkeypatch, best_of=3, guidance_scale=1.0)["decoder"] == [6] * 4
    small, large = draw(system, best_of=3), draw(system, best_of=3, size=256)
    assert large.shape == (2, 3, 256, 256)
    steps = list(drive(text_to_image(system, replace(REQUEST, best_of=3, size=256))))
    assert [len(step.x0) for step in steps if step.stage == "upsampler256"] == [2, 2]
    shrunk = F.interpolate(large, (64, 64), mode="area")
    assert (shrunk - small).abs().mean() < (shrunk - small.flip(0)).abs().mean()


def test_the_best_of_more_is_never_less_like_the_sentence(system: System) -> None:
    text = encode_text(system.clip, system.tokenizer, [REQUEST.prompt])["text_embed"]
    found = [F.cosine_similarity(embed(system, draw(system, best_of=k)), text, dim=-1) for k in (1, 2, 4)]
    assert (found[1] >= found[0] - 1e-5).all()
    assert (found[2] >= found[1] - 1e-5).all()


# Quality


def decoder_rows(system: System, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, list[int]]:
    """Draw, and count the rows of every call of each decoder."""
    rows: dict[str, list[int]] = {"decoder": [], "distilled": []}
    for name, calls in rows.items():
        stage = getattr(system, name)
        if stage is not None:

            def forward(
                x_t: Tensor, *a: Any, calls: Any = calls, real: Any = stage.network.forward, **k: Any
            ):
                calls.append(len(x_t))
                return real(x_t, *a, **k)

            monkeypatch.setattr(stage.network, "forward", forward)
    draw(system, **changes)
    monkeypatch.undo()
    return rows


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"decoder": [4] * 4, "distilled": []}),
        ({"quality": "best"}, {"decoder": [4] * 4, "distilled": []}),
        ({"quality": "standard"}, {"decoder": [], "distilled": [2] * 3}),
        ({"quality": "draft"}, {"decoder": [], "distilled": [2] * 2}),
        ({"quality": "draft", "steps": 5, "guidance_scale": 1.0}, {"decoder": [], "distilled": [2] * 5}),
        ({"quality": "best", "steps": 2, "guidance_scale": 1.0}, {"decoder": [2] * 2, "distilled": []}),
    ],
)
def test_the_distilled_decoder_is_asked_one_row_per_picture(
    distilled_system: System,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    expected: dict[str, list[int]],
) -> None:
    assert decoder_rows(distilled_system, monkeypatch, **changes) == expected


@pytest.mark.parametrize(("quality", "calls"), [("best", 4), ("standard", 4), ("draft", 2)])
def test_without_a_distilled_decoder_a_draft_takes_half_the_steps(
    system: System, monkeypatch: pytest.MonkeyPatch, quality: str, calls: int
) -> None:
    assert decoder_rows(system, monkeypatch, quality=quality)["decoder"] == [4] * calls


def test_a_draft_takes_no_more_steps_than_standard(distilled_system: System) -> None:
    assert distilled_system.distilled is not None
    one = replace(distilled_system.distilled, defaults=SamplingDefaults("ddim", 1, 2.0))
    request = replace(REQUEST, quality="draft")
    assert resolved(replace(distilled_system, distilled=one), request)["steps"] == 1


@pytest.mark.parametrize("quality", ["draft", "standard", "best"])
def test_the_quality_of_who_asks_for_none_is_the_models(distilled_system: System, quality: Any) -> None:
    model = replace(distilled_system, default_quality=quality)
    assert torch.equal(draw(model), draw(distilled_system, quality=quality))
    assert resolved(model, REQUEST) == resolved(distilled_system, replace(REQUEST, quality=quality))
    assert resolved(model, replace(REQUEST, quality="best"))["quality"] == "best"


def test_a_resolved_request_draws_the_same_at_every_quality(distilled_system: System) -> None:
    for quality, steps in (("draft", 2), ("standard", 3), ("best", 4)):
        request = replace(REQUEST, quality=quality)
        found = resolved(distilled_system, request)
        assert (found["quality"], found["steps"]) == (quality, steps)
        again = TextToImage(**found)  # pyright: ignore[reportArgumentType]
        assert torch.equal(draw(distilled_system, again), draw(distilled_system, request))


def test_the_distilled_decoder_hears_the_guidance_scale(distilled_system: System) -> None:
    weak, strong = (draw(distilled_system, quality="standard", guidance_scale=s) for s in (1.0, 4.0))
    assert differ(weak, strong)


def test_the_distilled_decoder_is_sampled_by_the_sampler_it_learned(distilled_system: System) -> None:
    own = draw(distilled_system, quality="standard", sampler="ddim")
    assert torch.equal(own, draw(distilled_system, quality="standard"))
    with pytest.raises(RequestError, match=r"learned the steps of sampler ddim, not dpm\+\+: .* best"):
        draw(distilled_system, quality="standard", sampler="dpm++")
    draw(distilled_system, quality="best", sampler="ddpm")


def test_one_decoder_is_enough_for_its_qualities(distilled_system: System) -> None:
    without = replace(distilled_system, decoder=None)
    assert without.sizes == (64, 256, 1024)
    assert torch.equal(draw(without, quality="standard"), draw(distilled_system, quality="standard"))
    with pytest.raises(RequestError, match="load the model with both"):
        draw(without, quality="best")


def test_another_quality_is_refused(system: System) -> None:
    request = replace(REQUEST)
    object.__setattr__(request, "quality", "ultra")  # as a caller without types may
    with pytest.raises(RequestError, match="quality 'ultra' is not one of draft, standard, best"):
        checked(system, request)


@pytest.mark.parametrize(
    "changes", [{"negative": "a blue apple"}, {"guidance_interval": (0, 500)}, {"guidance_rescale": 0.5}]
)
@pytest.mark.parametrize("default", ["draft", "best"])
def test_what_needs_a_second_row_is_drawn_at_the_best_quality(
    distilled_system: System, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], default: Any
) -> None:
    model = replace(distilled_system, default_quality=default)
    rows = decoder_rows(model, monkeypatch, **changes)
    assert rows["distilled"] == []
    assert len(rows["decoder"]) == 4
    assert resolved(model, replace(REQUEST, **changes))["quality"] == "best"
    assert not is_distilled(model, replace(REQUEST, **changes))


@pytest.mark.parametrize(
    "changes", [{"negative": "a blue apple"}, {"guidance_interval": (0, 500)}, {"guidance_rescale": 0.5}]
)
@pytest.mark.parametrize("quality", ["draft", "standard"])
def test_the_distilled_decoder_refuses_what_needs_a_second_row(
    distilled_system: System, changes: dict[str, Any], quality: Any
) -> None:
    message = "takes the guidance scale alone, and no negative sentence, interval or rescaling: .* best"
    with pytest.raises(RequestError, match=message):
        checked(distilled_system, replace(REQUEST, quality=quality, **changes))
    alone = replace(distilled_system, decoder=None, default_quality="standard")
    with pytest.raises(RequestError, match=message):
        checked(alone, replace(REQUEST, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"guidance_rescale": 0.0}, {"dynamic_threshold": 0.9}, {"best_of": 2}, {"prior_steps": 3}],
)
def test_what_needs_no_second_row_leaves_the_quality_alone(
    distilled_system: System, changes: dict[str, Any]
) -> None:
    model = replace(distilled_system, default_quality="standard")
    assert is_distilled(model, replace(REQUEST, **changes))
    found = resolved(model, replace(REQUEST, **changes))
    assert found["quality"] == "standard"
    again = TextToImage(**found)  # pyright: ignore[reportArgumentType]
    assert torch.equal(draw(model, again), draw(model, **changes))
