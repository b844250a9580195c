import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclip.client.sse import Event, EventReader


def read(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def written(event: Event) -> bytes:
    lines = [f"event: {event.name}", f"data: {json.dumps(event.data, ensure_ascii=False)}", f"id: {event.id}"]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def test_an_event_has_a_name_data_and_an_id() -> None:
    assert read(b'id: 7\nevent: step\ndata: {"job": "job_1"}\n\n') == [Event("step", {"job": "job_1"}, "7")]


def test_pings_and_events_without_data_are_none() -> None:
    assert read(b": ping\n\nevent: step\n\n:\n\n") == []


def test_data_may_have_several_lines_and_no_space() -> None:
    assert read(b'data:{"a":\ndata: 1}\n\n') == [Event("message", {"a": 1})]


def test_lines_may_end_with_carriage_returns() -> None:
    assert read(b'event: job\r\ndata: {"id": "x"}\r\n\r\n') == [Event("job", {"id": "x"})]


def test_what_is_not_complete_is_no_event() -> None:
    assert read(b'data: {"a": 1}\n') == []


def test_a_line_separator_of_unicode_ends_no_line() -> None:
    event = Event("job", {"id": "x", "prompt": "one\u2028two\x85three\x0b"}, "1")
    assert read(written(event)) == [event]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.lists(st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=3), max_size=4),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_events_are_the_same_however_their_bytes_come(data: list[dict[str, Any]], cuts: list[int]) -> None:
    events = [Event("step", each, str(number)) for number, each in enumerate(data)]
    whole = b"".join(map(written, events))
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    assert read(*(whole[start:end] for start, end in pairwise(places))) == events


@pytest.mark.parametrize(
    ("event", "about"),
    [
        (Event("job", {"id": "job_1"}), True),
        (Event("step", {"job": "job_1"}), True),
        (Event("step", {"job": "job_2", "id": "job_1"}), False),
        (Event("open", {}), False),
    ],
)
def test_an_event_is_about_one_job(event: Event, about: bool) -> None:
    assert event.about("job_1") is about
