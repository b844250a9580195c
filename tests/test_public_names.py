import inspect

import pytest

import unclip
from unclip.errors import CheckpointError, DataError, RequestError, UnclipError
from unclip.pipelines import generation
from unclip.system import System

TASKS = (
    "decode diff edit generate interpolate invert mix outpaint probe steps vary".split()  # noqa: SIM905
)


def test_every_public_name_is_there() -> None:
    for name in unclip.__all__:
        assert getattr(unclip, name) is not None
    assert dir(unclip) == sorted(unclip.__all__)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_a_public_function(task: str) -> None:
    function = getattr(unclip, task)
    assert function is getattr(generation, task)
    assert next(iter(inspect.signature(function).parameters)) == "model"
    assert inspect.getdoc(function)


def test_what_users_catch_and_hand_around_is_public() -> None:
    assert (unclip.RequestError, unclip.DataError, unclip.CheckpointError) == (
        RequestError,
        DataError,
        CheckpointError,
    )
    assert unclip.UnclipError is UnclipError
    assert unclip.System is System
    assert unclip.Generation is generation.Generation


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'unclip' has no attribute 'paint'"):
        _ = unclip.paint  # pyright: ignore[reportAttributeAccessIssue]
