"""Every task by its name: from settings that fit JSON to a plan and what its pictures say of themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from PIL import Image

from unclip.diffusion.driver import Plan
from unclip.errors import RequestError
from unclip.pipelines import edit, interpolation, outpaint, text_diff, text_to_image, variations
from unclip.pipelines.given import without_pictures
from unclip.system import System
from unclip.text.prompts import shortened
from unclip.text.tokenizer import Tokenizer

R = TypeVar("R")
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Task(Generic[R]):
    """What is done with one kind of request."""

    request: type[R]
    plan: Callable[[System, R], Plan]
    about: Callable[[System, R], Facts]  # what goes into metadata; raises RequestError for what cannot be run
    each: Callable[[R], Sequence[Facts]]  # what differs in it from picture to picture
    sentences: tuple[str, ...]  # the fields that hold one, where they do


def _by_seed(request: Any) -> list[Facts]:
    return [{"n": 1, "seed": request.seed + k} for k in range(request.n)]


def _text_to_image(system: System, request: text_to_image.TextToImage) -> Facts:
    request = text_to_image.checked(system, request)
    decoder = "distilled" if text_to_image.is_distilled(system, request) else "undistilled"
    return {**text_to_image.resolved(system, request), "decoder": decoder}


def _variations(system: System, request: variations.Variations) -> Facts:
    return {"task": "variation", **without_pictures(variations.check_variations(system, request))}


def _edit(system: System, request: edit.Edit) -> Facts:
    edit.check_edit(system, request)
    return {"task": "edit", **without_pictures(edit.settled_edit(system, request))}


def _outpaint(system: System, request: outpaint.Outpaint) -> Facts:
    outpaint.check_outpaint(system, request)
    return {"task": "outpaint", **without_pictures(outpaint.settled_outpaint(system, request))}


def _text_diff(system: System, request: text_diff.TextDiff) -> Facts:
    return {"task": "text diff", **without_pictures(text_diff.check_text_diff(system, request))}


def _interpolation(system: System, request: interpolation.Interpolation) -> Facts:
    return {
        "task": "interpolation",
        **without_pictures(interpolation.check_interpolation(system, request)),
    }


def _mix(system: System, request: interpolation.Mix) -> Facts:
    return {"task": "mix", **without_pictures(interpolation.check_mix(system, request))}


def _thetas(request: text_diff.TextDiff) -> list[Facts]:
    return [{"theta": theta} for theta in text_diff.thetas_of(request)]


def _shares(request: interpolation.Interpolation) -> list[Facts]:
    return [{"theta": k / (request.steps - 1)} for k in range(request.steps)]


TASKS: dict[str, Task[Any]] = {
    "text_to_image": Task(
        text_to_image.TextToImage,
        text_to_image.text_to_image,
        _text_to_image,
        _by_seed,
        ("prompt", "negative"),
    ),
    "variations": Task(variations.Variations, variations.variations, _variations, _by_seed, ()),
    "edit": Task(edit.Edit, edit.edit, _edit, _by_seed, ("prompt",)),
    "outpaint": Task(outpaint.Outpaint, outpaint.outpaint, _outpaint, _by_seed, ("prompt",)),
    "text_diff": Task(text_diff.TextDiff, text_diff.text_diff, _text_diff, _thetas, ("target", "source")),
    "interpolation": Task(
        interpolation.Interpolation, interpolation.interpolation, _interpolation, _shares, ("a", "b")
    ),
    "mix": Task(interpolation.Mix, interpolation.mix, _mix, _by_seed, ("parts",)),
}


@dataclass(frozen=True)
class Prepared:
    """A request that was found good, ready to be drawn."""

    plan: Plan
    requests: Sequence[Facts]  # for each picture, the request that makes it
    sentences: Sequence[str]
    images: Sequence[Image.Image]  # that were given
    shortened: Mapping[str, str]  # sentences that were too long, by their field, as they are drawn


def prepare(
    system: System, name: str, settings: Mapping[str, Any], images: Mapping[str, Image.Image]
) -> Prepared:
    """Make a plan of a task's settings; {"picture": name} in them stands for the one of `images`.

    A sentence longer than the model reads is cut, as DALL-E 2 does. Raises RequestError for what cannot be
    run.
    """
    if name not in TASKS:
        raise RequestError(f"task {name!r} is not one of {', '.join(TASKS)}")
    task = TASKS[name]
    known = {field.name for field in fields(task.request)}
    if unknown := sorted(settings.keys() - known):
        raise RequestError(f"{name} has no setting {', '.join(unknown)}: it has {', '.join(sorted(known))}")
    try:
        request = task.request(**{key: _with_images(value, images) for key, value in settings.items()})
    except TypeError as error:  # a field without a default is missing
        raise RequestError(f"{name}: {error}") from error
    request, cut = _cut(task, request, system.tokenizer)
    about = task.about(system, request)
    requests = [{**about, **own} for own in task.each(request)]
    given = [value for key in known for value in _listed(getattr(request, key)) if is_image(value)]
    sentences = [
        value for key in task.sentences for value in _listed(getattr(request, key)) if isinstance(value, str)
    ]
    return Prepared(task.plan(system, request), requests, [text for text in sentences if text], given, cut)


def is_image(value: Any) -> bool:
    """Tell a picture from other values of a request."""
    return isinstance(value, Image.Image)


def _cut(task: Task[Any], request: Any, tokenizer: Tokenizer) -> tuple[Any, dict[str, str]]:
    """Return the request with sentences that the model reads whole, and those that were longer."""
    values, told = dict[str, Any](), dict[str, str]()
    for key in task.sentences:
        given = getattr(request, key)
        parts = [shortened(p, tokenizer) if isinstance(p, str) else p for p in _listed(given)]
        for place, (before, part) in enumerate(zip(_listed(given), parts, strict=True)):
            if isinstance(part, str) and part != before:
                told[f"{key}[{place}]" if isinstance(given, tuple) else key] = part
        values[key] = tuple(parts) if isinstance(given, tuple) else parts[0]
    return replace(request, **values), told


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


def _with_images(value: Any, images: Mapping[str, Image.Image]) -> Any:
    """Put pictures in the place of their names, and tuples in that of lists."""
    if isinstance(value, list):
        return tuple(_with_images(part, images) for part in value)
    if isinstance(value, dict):
        if value.get("picture") not in images:
            raise RequestError(f"{value} is no picture that was given: send it along")
        return images[value["picture"]]
    return value
