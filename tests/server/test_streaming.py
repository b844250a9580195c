import base64
import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from served import Served, eventually, file_of, in_loop, running
from stub_engine import Engines, StubEngine, colour_of, hold

from unclip.engine.messages import Cancel, Pixels, Run, Stepped
from unclip.server import dispatcher, streaming
from unclip.server.events import Events
from unclip.server.settings import Settings
from unclip.server.streaming import preview_jpeg, sse

HOLED = Image.new("RGBA", (64, 64), "red")
HOLED.paste((0, 0, 0, 0), (16, 16, 48, 48))
FIELDS = {"type", "b64_json", "created_at", "size", "quality", "background", "output_format", "image_index"}


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream; the name of each is the type that its data say."""
    found = list[tuple[str, dict[str, Any]]]()
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            event, data = block.split("\n")
            found.append((event.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
            assert found[-1][0] == found[-1][1]["type"]
    return found


def image_of(data: dict[str, Any]) -> Image.Image:
    with Image.open(BytesIO(base64.b64decode(data["b64_json"]))) as image:
        image.load()
        return image


def stepping(steps: int, *stages: str) -> Callable[[StubEngine, Run], None]:
    """Draw in so many steps of each stage."""

    def act(engine: StubEngine, run: Run) -> None:
        for stage in stages or ("decoder",):
            for index in range(1, steps + 1):
                engine.step(run, index, steps, stage)
                engine.pause()
        engine.draw(run)

    return act


def streamed(served: Served, **asked: Any) -> list[tuple[str, dict[str, Any]]]:
    response = served.draw(stream=True, **asked)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    return events_of(response.text)


def names(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name.removeprefix("image_generation.") for name, _ in events]


def test_pictures_come_as_they_become_clear(served: Served) -> None:
    served.engines.act = stepping(6)
    events = streamed(served, partial_images=2)
    assert names(events) == ["partial_image", "partial_image", "completed"]
    for place, (_, data) in enumerate(events[:2]):
        assert data.keys() == FIELDS | {"partial_image_index"}
        assert (data["partial_image_index"], data["image_index"]) == (place, 0)
        assert image_of(data).size == (256, 256)
        assert image_of(data).getpixel((9, 9)) == colour_of(0)  # as the stub shows it
    _, done = events[-1]
    assert done.keys() == FIELDS | {"usage"}
    assert (done["size"], done["output_format"], done["background"]) == ("256x256", "png", "opaque")
    assert done["usage"] == {
        "total_tokens": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
    }
    (picture,) = served.service.gallery.list("anonymous")
    assert base64.b64decode(done["b64_json"]) == served.service.store.get(picture.digest)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_so_many_partial_pictures_are_sent_as_are_asked_for(served: Served, count: int) -> None:
    served.engines.act = stepping(9)
    assert names(streamed(served, partial_images=count)) == ["partial_image"] * count + ["completed"]


def test_without_a_word_there_are_no_partial_pictures(served: Served) -> None:
    served.engines.act = stepping(4)
    assert names(streamed(served)) == ["completed"]
    assert streamed(served, partial_images=None)[0][0] == "image_generation.completed"


@pytest.mark.parametrize(("stage", "expected"), [("decoder", [1, 4, 8]), ("upsampler256", [1, 1, 1])])
def test_partial_pictures_are_spread_over_the_steps_of_the_decoder(stage: str, expected: list[int]) -> None:
    for sent, first in enumerate(expected):
        due = [streaming.due(Stepped("job", stage, index, 12), sent, of=3) for index in range(1, 13)]
        assert due == [index >= first for index in range(1, 13)]


def test_every_picture_of_a_request_is_sent(served: Served) -> None:
    served.engines.act = stepping(4)
    events = streamed(served, n=2, partial_images=1)
    assert names(events) == ["partial_image"] * 2 + ["completed"] * 2
    assert [data["image_index"] for _, data in events] == [0, 1, 0, 1]
    assert [data["partial_image_index"] for _, data in events[:2]] == [0, 0]
    seed = served.engines.runs()[0][1].settings["seed"]
    assert [image_of(data).getpixel((9, 9)) for _, data in events[2:]] == [
        colour_of(seed),
        colour_of(seed + 1),
    ]


def test_edits_have_names_of_their_own(served: Served) -> None:
    served.engines.act = stepping(4)
    fields = {"prompt": "a cube", "size": "256x256", "stream": "true", "partial_images": "1"}
    response = served.client.post("/v1/images/edits", data=fields, files={"image": file_of(HOLED)})
    assert [name for name, _ in events_of(response.text)] == [
        "image_edit.partial_image",
        "image_edit.completed",
    ]


@pytest.mark.parametrize(
    ("reason", "code", "type"),
    [
        ("policy", "content_policy_violation", "invalid_request_error"),
        ("request", None, "invalid_request_error"),
        ("internal", None, "server_error"),
    ],
)
def test_what_goes_wrong_is_the_last_event(served: Served, reason: Any, code: str | None, type: str) -> None:
    def act(engine: StubEngine, run: Run) -> None:
        engine.step(run, 1, 2)
        engine.pause()
        engine.fail(run, reason, "no")

    served.engines.act = act
    events = streamed(served, partial_images=1)
    assert [name for name, _ in events] == ["image_generation.partial_image", "error"]
    error = events[-1][1]["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, type)


def test_what_is_wrong_with_a_request_is_no_stream(served: Served) -> None:
    response = served.draw(stream=True, n=11)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json")


def test_a_repeat_streams_the_pictures_that_there_are(served: Served) -> None:
    headers = {"idempotency-key": "one"}
    first = streamed(served, headers=headers)
    again = streamed(served, headers=headers, partial_images=3)
    assert again == first
    assert served.states() == ["done"]


def test_a_picture_that_is_gone_is_an_event_too(served: Served) -> None:
    headers = {"idempotency-key": "one"}
    streamed(served, headers=headers)
    (picture,) = served.service.gallery.list("anonymous")
    served.service.store.delete(picture.digest)
    ((name, data),) = streamed(served, headers=headers)
    assert name == "error"
    assert "is not in the store" in data["error"]["message"]


@in_loop
async def test_who_leaves_a_stream_cancels_its_job(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        asked = server.draw(stream=True)
        await eventually(engines.runs)
        asked.go()
        await asked.ended()
        await eventually(lambda: server.states == ["cancelled"])
        ((engine, run),) = engines.runs()
        await eventually(lambda: Cancel(run.job) in engine.told)


@in_loop
async def test_a_stream_that_has_ended_is_listened_to_no_more(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners, listen, leave = list[Any](), Events.listen, Events.leave
    monkeypatch.setattr(Events, "listen", lambda *asked: listeners.append(listen(*asked)) or listeners[-1])
    monkeypatch.setattr(Events, "leave", lambda self, one: listeners.remove(one) or leave(self, one))
    async with running(settings) as server:
        assert (await server.draw(stream=True).ended()).status == 200
        assert not listeners
        engines.act = hold
        asked = server.draw(stream=True)
        await eventually(lambda: len(engines.runs()) == 2)
        asked.go()
        await asked.ended()
        assert not listeners


@in_loop
async def test_a_detached_stream_may_be_left(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        asked = server.draw(query="?detach=1", stream=True)
        await eventually(engines.runs)
        asked.go()
        await asked.ended()
        ((engine, run),) = engines.runs()
        engine.draw(run)
        await eventually(lambda: server.states == ["done"])


@in_loop
async def test_who_leaves_a_stream_takes_nothing_from_another(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        first, second = (server.draw({"idempotency-key": "one"}, stream=True) for _ in range(2))
        await eventually(engines.runs)
        await eventually(lambda: first.answers and second.answers)
        first.go()
        await first.ended()
        assert server.states == ["running"]
        ((engine, run),) = engines.runs()
        engine.draw(run)
        assert names(events_of((await second.ended()).text)) == ["completed"]


@in_loop
async def test_a_stream_in_which_nothing_happens_is_kept_open(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 0.01)
    engines.act = hold
    async with running(settings) as server:
        asked = server.draw(stream=True)
        await eventually(lambda: asked.answers and asked.text.count(": ping\n\n") > 2)
        ((engine, run),) = engines.runs()
        engine.draw(run)
        assert names(events_of((await asked.ended()).text)) == ["completed"]


@in_loop
async def test_a_cancelled_job_ends_its_stream(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(settings) as server:
        asked = server.draw(stream=True)
        await eventually(engines.runs)
        await server.service.dispatcher.cancel(engines.runs()[0][1].job)
        ((name, data),) = events_of((await asked.ended()).text)
        assert (name, data["error"]["code"]) == ("error", "cancelled")


@in_loop
async def test_a_stopping_server_ends_the_streams_of_what_waits(settings: Settings, engines: Engines) -> None:
    engines.act = hold
    async with running(replace(settings, slots=1)) as server:
        drawn = server.draw(stream=True)
        await eventually(engines.runs)
        waiting = server.draw(stream=True)
        await eventually(lambda: server.service.dispatcher.waiting)
        server.service.dispatcher.drain()
        server.service.events.close()
        ((_, data),) = events_of((await waiting.ended()).text)
        assert data["error"]["code"] == "overloaded"
        ((engine, run),) = engines.runs()
        engine.draw(run)
        assert names(events_of((await drawn.ended()).text)) == ["completed"]


@in_loop
async def test_a_job_that_goes_on_in_another_process_is_streamed_to_its_end(
    settings: Settings, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "RESTART_SECONDS", (0.0,))
    engines.act = hold
    async with running(settings) as server:
        asked = server.draw(stream=True)
        await eventually(engines.runs)
        engines.act = StubEngine.draw
        engines.begun[0].die()
        assert names(events_of((await asked.ended()).text)) == ["completed"]


def test_an_event_is_as_browsers_read_it() -> None:
    assert sse("step", {"a": "b\nc"}) == 'event: step\ndata: {"a": "b\\nc"}\n\n'
    assert sse("step", {}, 7) == "id: 7\nevent: step\ndata: {}\n\n"


def test_a_preview_is_a_small_jpeg() -> None:
    data = base64.b64decode(preview_jpeg(Pixels.of(Image.new("RGB", (64, 64), "red"))))
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 64))
