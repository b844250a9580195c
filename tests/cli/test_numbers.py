import pytest

from unclip.cli.numbers import numbers, pair, whole_numbers
from unclip.errors import RequestError


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("3", (3.0,)), ("2,1,.5", (2.0, 1.0, 0.5)), (" 2 , -1e3", (2.0, -1000.0))],
)
def test_numbers_stand_between_commas(text: str | None, expected: tuple[float, ...] | None) -> None:
    assert numbers("weights", text) == expected


@pytest.mark.parametrize("text", ["", "ab", "1,", ",1", "1;2", "1 2", "1,two"])
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(RequestError) as error:
        numbers("weights", text)
    assert str(error.value) == f"weights {text!r} are not numbers between commas, as 2,1,1"


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("20", (20,)), ("20,40", (20, 40)), (" 1 , -2", (1, -2))]
)
def test_whole_numbers_stand_between_commas(text: str | None, expected: tuple[int, ...] | None) -> None:
    assert whole_numbers("components", text) == expected


@pytest.mark.parametrize("text", ["", "ab", "1,", "2.5", "1e2", "nan", "inf", "1;2"])
def test_what_are_no_whole_numbers_is_named(text: str) -> None:
    with pytest.raises(RequestError) as error:
        whole_numbers("components", text)
    assert str(error.value) == f"components {text!r} are not whole numbers between commas, as 20,40"


@pytest.mark.parametrize(
    ("text", "expected"), [("200,800", (200, 800)), ("-128,0", (-128, 0)), (" 1 , 2 ", (1, 2))]
)
def test_a_pair_is_two_whole_numbers(text: str, expected: tuple[int, int]) -> None:
    assert pair("frame", text, "-128,0") == expected


@pytest.mark.parametrize("text", ["", "ab", "1", "1,", "1,2,3", "1.5,2", "1e3,2", "a,b", "nan,0"])
def test_what_is_no_pair_is_named_with_an_example(text: str) -> None:
    with pytest.raises(RequestError) as error:
        pair("frame", text, "-128,0")
    assert str(error.value) == f"frame {text!r} is not two whole numbers, as -128,0"
