"""Ids and names."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from unclip.errors import RequestError
from unclip.records import names
from unclip.records.names import check_name, new_id


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [new_id("job") for _ in range(2000)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{26}", id) for id in ids)


def test_ids_of_many_threads_are_all_different() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_id("img"), range(4000)))
    assert len(set(ids)) == len(ids)


def test_ids_go_on_where_the_clock_stands_or_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [new_id("job")]
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    ids += [new_id("job") for _ in range(100)]
    assert ids == sorted(ids)


def test_the_rest_of_an_id_cannot_be_guessed_from_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_microseconds", lambda: 1)
    ids = {new_id("img") for _ in range(100)}
    assert len(ids) == 100
    assert len({id[:14] for id in ids}) == 1  # what is of the time alone


def test_names_are_kept_without_space_around_them() -> None:
    assert check_name("  Ägypten 2 ") == "Ägypten 2"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0b", "\ud800", "x" * 101])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(RequestError, match=r"^a name has 1 to 100 printable characters, not '.*'$"):
        check_name(name)
