"""The stream of events: what its owner hears, in what order, and when it begins and ends."""

import base64
from collections.abc import Callable
from io import BytesIO

import httpx
import pytest
from PIL import Image
from running_server import Running, User
from stub_engine import Engines, StubEngine, hold, until

from unclip.client import Client, Event
from unclip.engine.messages import Run
from unclip.server.events import KEPT


def stepping(engine: StubEngine, run: Run) -> None:
    """Draw a job in two steps."""
    for index in (1, 2):
        engine.step(run, index, 2)
    engine.draw(run)


def ended(event: Event) -> bool:
    return event.name == "job" and event.data["state"] not in ("queued", "running")


def facts(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.name, event.data.get("state", event.data.get("stage", ""))) for event in events]


def test_a_job_is_heard_from_the_queue_to_its_pictures(alice: User, engines: Engines) -> None:
    engines.act = stepping
    with alice.hearing() as hearing:
        assert hearing.response.headers["content-type"].startswith("text/event-stream")
        assert hearing.response.headers["cache-control"] == "no-store"
        id = alice.job("text_to_image", prompt="an apple", n=2)["id"]
        heard = hearing.until(ended)
    without = [event for event in heard if event.name != "preview"]
    assert facts(without) == [
        ("job", "queued"),
        ("job", "running"),
        ("step", "decoder"),
        ("step", "decoder"),
        ("job", "done"),
    ]
    assert all(event.about(id) for event in heard)
    assert without[2].data == {"job": id, "stage": "decoder", "index": 1, "num_steps": 2}
    told, asked = without[-1].data, alice.get(f"/api/jobs/{id}")
    for job in (told, asked):
        assert [image.pop("url").split("?")[0] for image in job["images"]]  # whose ends may differ
    assert told == asked
    ids = [int(event.id or 0) for event in heard]
    assert ids == sorted(ids)


def test_previews_are_small_pictures_one_by_one(alice: User, engines: Engines) -> None:
    engines.act = stepping
    with alice.hearing() as hearing:
        id = alice.job("text_to_image", prompt="an apple", n=2)["id"]
        previews = [event for event in hearing.until(ended) if event.name == "preview"]
    assert [event.data["index"] for event in previews[-2:]] == [0, 1]
    for event in previews:
        assert event.data["job"] == id
        with Image.open(BytesIO(base64.b64decode(event.data["image"]))) as image:
            assert (image.format, image.size) == ("JPEG", (64, 64))


def test_who_is_slow_sees_the_newest_preview(alice: User, server: Running, engines: Engines) -> None:
    engines.act = hold
    listener = server.service.events.listen(lambda event: event.name in ("preview", "step"))
    alice.job("text_to_image", prompt="an apple")
    ((engine, run),) = engines.wait_for_runs(1)
    for index in range(1, 6):
        engine.step(run, index, 5)
    until(lambda: len(listener._events) >= 6)
    server.in_loop(listener.close)
    told = [(event.name, event.data.index) for event in listener._events]
    assert told == [*(("step", k) for k in range(1, 6)), ("preview", 5)]
    assert all(not event.data.previews for event in listener._events if event.name == "step")


def test_nobody_hears_of_others(alice: User, bob: User, root: User, engines: Engines) -> None:
    engines.act = stepping
    with alice.hearing() as hearing, root.hearing() as administrators:
        theirs, mine, own = (
            user.done("text_to_image", prompt="an apple")["id"] for user in (bob, alice, root)
        )
        heard = hearing.until(ended) + administrators.until(ended)
    assert {event.data.get("job") or event.data["id"] for event in heard} == {mine, own}
    assert theirs not in str(heard)


@pytest.mark.parametrize("where", ["headers", "params"])
def test_what_was_missed_is_told_again(where: str, alice: User, bob: User) -> None:
    names = {"headers": "Last-Event-ID", "params": "last_event_id"}
    with alice.hearing() as hearing:
        alice.job("text_to_image", prompt="first")
        last = hearing.until(ended)[-1]
    second = alice.done("text_to_image", prompt="second")["id"]
    bob.done("text_to_image", prompt="another's")
    with alice.hearing(**{where: {names[where]: last.id}}) as hearing:
        heard = hearing.until(ended)
    assert facts(heard) == [("job", "queued"), ("job", "running"), ("job", "done")]
    assert {event.data["id"] for event in heard} == {second}
    assert heard[-1].data["images"][0]["url"].startswith("http://")


@pytest.mark.parametrize("id", ["1", "0", "nonsense", "-5", "9" * 31, "9" * 40])
def test_who_has_missed_too_much_is_told_so(id: str, alice: User) -> None:
    alice.done("text_to_image", prompt="an apple")
    with alice.hearing(headers={"Last-Event-ID": id}) as hearing:
        assert hearing.next().name == "reset"


def test_a_gap_too_long_to_tell_begins_with_reset(alice: User, server: Running) -> None:
    with alice.hearing() as hearing:
        alice.job("text_to_image", prompt="an apple")
        last = hearing.until(ended)[-1]
        assert last.id is not None

    def fill() -> None:
        for _ in range(KEPT + 1):
            server.service.events.publish("job", "somebody", "job_1", None)

    server.in_loop(fill)
    with alice.hearing(params={"last_event_id": last.id}) as hearing:
        assert hearing.next().name == "reset"
        alice.job("text_to_image", prompt="an apple")
        assert facts(hearing.until(ended))[0] == ("job", "queued")


def test_a_quiet_stream_pings(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unclip.server.streaming.PING_SECONDS", 0.02)
    with alice.http.stream("GET", "/api/events") as response:
        assert next(response.iter_text()) == ": ping\n\n"


def test_the_stream_ends_with_the_server(alice: User, server: Running) -> None:
    with alice.hearing() as hearing:
        alice.done("text_to_image", prompt="an apple")
        server.in_loop(server.service.events.close)
        assert facts(hearing.rest())[-1] == ("job", "done")
    with alice.hearing() as hearing:  # nor does one that begins now keep the server
        assert hearing.rest() == []


def test_a_client_that_goes_is_let_go(alice: User, server: Running) -> None:
    listeners = server.service.events._listeners
    with alice.hearing(), alice.hearing():
        until(lambda: len(listeners) == 2)
    until(lambda: not listeners)


def test_a_job_goes_on_when_nobody_listens_any_more(alice: User, server: Running, engines: Engines) -> None:
    engines.act = hold
    with alice.hearing() as hearing:
        id = alice.job("text_to_image", prompt="an apple")["id"]
        hearing.next("job")
    until(lambda: not server.service.events._listeners)
    ((engine, run),) = engines.wait_for_runs(1)
    engine.draw(run)
    until(lambda: alice.get(f"/api/jobs/{id}")["state"] == "done")


def test_who_has_no_key_hears_nothing(server: Running, alice: User) -> None:
    del alice
    response = httpx.get(f"{server.url}/api/events", trust_env=False)
    assert (response.status_code, response.json()["error"]["type"]) == (401, "invalid_request_error")


def test_the_client_of_this_package_waits_for_a_job(
    new_server: Callable[..., Running], engines: Engines
) -> None:
    engines.act, server, heard = stepping, new_server(), list[Event]()
    alice = server.user("alice")
    key = alice.http.headers["authorization"].removeprefix("Bearer ")
    with Client(server.url, key) as client:
        job = client.wait(client.submit("text_to_image", prompt="an apple").id, heard.append)
        assert (job.state, len(job.images)) == ("done", 1)
        (image,) = client.images()
        assert (image, client.content(image.id)[:4]) == (job.images[0], b"\x89PNG")
        varied = client.wait(client.submit("mix", parts=[image, "a pear"]).id)
        assert varied.images[0].parent == image.id
        upload = client.upload(client.content(image.id))
        assert [found.id for found in client.images(uploads=True)] == [upload.id]
        assert client.usage()["monthly"]["used"] == 2
