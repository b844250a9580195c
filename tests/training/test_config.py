import json
from dataclasses import replace

import pytest

from unclip.checkpoints.configs import config_from_json, config_to_json
from unclip.errors import RequestError
from unclip.training.config import TrainConfig
from unclip.training.recipes import RECIPES, recipe

CONFIG = TrainConfig(
    images=1000, batch_size=10, learning_rate=1e-3, image_size=64, warmup_images=100, decay_share=0.2
)


def test_the_rate_warms_up_stays_and_falls() -> None:
    assert [CONFIG.rate(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert {CONFIG.rate(step) for step in range(9, 81)} == {1.0}
    assert [CONFIG.rate(step) for step in (85, 90, 99)] == pytest.approx([0.75, 0.5, 0.05])


def test_the_rate_does_not_fall_below_zero() -> None:
    assert replace(CONFIG, images=995).rate(100) == 0


def test_warm_up_and_decay_may_be_left_out() -> None:
    constant = replace(CONFIG, warmup_images=0, decay_share=0.0)
    assert {constant.rate(step) for step in range(constant.steps)} == {1.0}


def test_before_the_decay_the_rate_does_not_depend_on_the_end() -> None:
    longer = replace(CONFIG, images=5000)
    assert [longer.rate(step) for step in range(81)] == [CONFIG.rate(step) for step in range(81)]
    assert longer.rate(81) != CONFIG.rate(81)


@pytest.mark.parametrize(("images", "steps"), [(1, 1), (10, 1), (11, 2), (1000, 100)])
def test_the_last_step_may_go_beyond_the_images(images: int, steps: int) -> None:
    assert replace(CONFIG, images=images).steps == steps


def test_micro_batches_must_divide_the_batch() -> None:
    with pytest.raises(RequestError, match="a batch of 10 cannot be cut into 3 equal micro-batches"):
        replace(CONFIG, micro_batches=3)


def test_a_recipe_takes_what_is_asked_for() -> None:
    asked = recipe("decoder", images=10, batch_size=None)
    assert asked == replace(RECIPES["decoder"], images=10)


def test_the_large_upsamplers_small_pictures_have_the_papers_faults() -> None:
    assert {name for name in RECIPES if RECIPES[name].degradation == "bsr"} == {"upsampler1024"}
    assert recipe("upsampler1024", degradation="blur").degradation == "blur"
    with pytest.raises(RequestError, match="degradation is for upsamplers, not for clip"):
        recipe("clip", degradation="bsr")


def test_a_config_older_than_degradations_is_read() -> None:
    values = json.loads(json.dumps(config_to_json(CONFIG)))
    assert values.pop("degradation") == "blur"
    assert config_from_json(TrainConfig, values, "config") == CONFIG


@pytest.mark.parametrize(
    ("component", "power", "said"),
    [("decoder", 0.0, "above 0"), ("decoder", 2.0, "at most 1"), ("prior", 0.5, "not for prior")],
)
def test_a_power_of_timesteps_that_no_run_can_have_is_refused(
    component: str, power: float, said: str
) -> None:
    assert recipe("decoder", timestep_power=0.1).timestep_power == 0.1
    with pytest.raises(RequestError, match=said):
        recipe(component, timestep_power=power)
