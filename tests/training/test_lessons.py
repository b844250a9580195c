from dataclasses import replace
from typing import Any

import pytest

from unclip.errors import RequestError
from unclip.training.begin_distillation import TEACHERS
from unclip.training.lessons import LESSONS, lesson
from unclip.training.recipes import RECIPES


def test_a_lesson_is_as_it_stands_but_for_what_is_asked() -> None:
    assert lesson("steps", steps=None) == LESSONS["steps"]
    asked = lesson("steps", steps=2, scales=(2.0, 2.0), feature_weight=None)
    assert asked == replace(LESSONS["steps"], steps=2, scales=(2.0, 2.0))


def test_every_lesson_has_its_teachers_and_its_recipe() -> None:
    assert LESSONS.keys() == TEACHERS.keys()
    assert {f"distill {name}" for name in LESSONS} <= RECIPES.keys()


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("guidance", {"steps": 4}, "steps plays no part in the distillation of guidance: leave it out"),
        ("upsampler256", {"scales": (1.0, 4.0)}, "scales plays no part in the distillation of upsampler256"),
        ("steps", {"feature_weight": 0.1}, "feature_weight plays no part"),
        ("steps", {"steps": 0}, "steps must be between 1 and 100, not 0"),
        ("steps", {"teacher_steps": 101}, "teacher_steps must be between 1 and 100, not 101"),
        ("guidance", {"scales": (4.0, 1.0)}, "scales must rise from 0 to 100 at most, not 4 1"),
        ("guidance", {"scales": (-1.0, 1.0)}, "scales must rise"),
        ("guidance", {"scales": (1.0, float("nan"))}, "scales must rise"),
        ("upsampler256", {"feature_weight": -0.1}, "feature_weight must be between 0 and 100, not -0.1"),
    ],
)
def test_what_cannot_be_taught_is_refused(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        lesson(name, **asked)
