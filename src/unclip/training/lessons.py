"""What a network can be taught by another one, so that it draws in fewer evaluations."""

from dataclasses import dataclass, replace
from typing import Any

from unclip.errors import RequestError


@dataclass(frozen=True)
class Lesson:
    """One kind of distillation and its numbers; those that it has no use for are None."""

    name: str  # a key of LESSONS
    scales: tuple[float, float] | None = None  # least and largest guidance scale that is taught
    steps: int | None = None  # of the student, from pure noise to the picture
    teacher_steps: int | None = None  # of the teacher, within each step of the student
    feature_weight: float | None = None  # of the distance in CLIP's features, beside that of pixels


LESSONS: dict[str, Lesson] = {
    lesson.name: lesson
    for lesson in (
        Lesson("guidance", scales=(1.0, 4.0)),
        Lesson("steps", scales=(1.0, 4.0), steps=4, teacher_steps=4),
        Lesson("upsampler256", feature_weight=1.0),
        Lesson("upsampler1024", feature_weight=1.0),
    )
}


def lesson(name: str, **asked: Any) -> Lesson:
    """Return the lesson of that name with what is asked for (None: as it stands) in its place.

    Raises RequestError for what this lesson has no use for, and for numbers that cannot be taught.
    """
    chosen = LESSONS[name]
    asked = {field: value for field, value in asked.items() if value is not None}
    for field in asked:
        if getattr(chosen, field) is None:
            raise RequestError(f"{field} plays no part in the distillation of {name}: leave it out")
    chosen = replace(chosen, **asked)
    _check(chosen)
    return chosen


def _check(chosen: Lesson) -> None:
    for field in ("steps", "teacher_steps"):
        if (count := getattr(chosen, field)) is not None and not 1 <= count <= 100:
            raise RequestError(f"{field} must be between 1 and 100, not {count}")
    if chosen.scales is not None and not 0 <= chosen.scales[0] <= chosen.scales[1] <= 100:
        raise RequestError(
            f"scales must rise from 0 to 100 at most, not {' '.join(f'{s:g}' for s in chosen.scales)}"
        )
    if chosen.feature_weight is not None and not 0 <= chosen.feature_weight <= 100:
        raise RequestError(f"feature_weight must be between 0 and 100, not {chosen.feature_weight}")
