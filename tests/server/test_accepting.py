import asyncio
import calendar
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from sample_records import a_job
from served import Served, error_of, eventually, file_of, running
from stub_engine import Engines, StubEngine, hold

from unclip.engine.messages import Run
from unclip.records.keys import Key
from unclip.server import accepting, minute
from unclip.server.accepting import month_began, month_ends
from unclip.server.settings import Settings

Serve = Callable[..., Served]


def key(served: Served, name: str = "alice", **settings: Any) -> tuple[Key, dict[str, str]]:
    """A new key, and the header that goes with it."""
    made, secret = served.service.keys.create(name, **settings)
    return made, {"authorization": f"Bearer {secret}"}


def pixels(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [picture["b64_json"] for picture in response.json()["data"]]


def failing(reason: Any, message: str = "no") -> Callable[[StubEngine, Run], None]:
    return lambda engine, run: engine.fail(run, reason, message)


# Repeats.


def test_a_request_with_the_same_key_and_body_is_the_same_job(served: Served) -> None:
    asked = {"headers": {"idempotency-key": "one"}, "response_format": "b64_json", "n": 2}
    first = served.draw(**asked)
    assert pixels(served.draw(**asked)) == pixels(first)
    assert served.states() == ["done"]
    assert len(served.engines.runs()) == 1
    assert pixels(served.draw(**asked | {"headers": {"idempotency-key": "two"}})) != pixels(first)


def test_how_the_answer_is_written_is_no_part_of_the_body(served: Served) -> None:
    headers = {"idempotency-key": "one"}
    assert "url" in served.draw(headers=headers).json()["data"][0]
    assert "b64_json" in served.draw(headers=headers, response_format="b64_json").json()["data"][0]
    assert served.states() == ["done"]


@pytest.mark.parametrize("other", [{"prompt": "a blue cube"}, {"n": 2}, {"size": "512x512"}])
def test_the_same_key_with_another_body_is_refused(served: Served, other: dict[str, Any]) -> None:
    headers = {"idempotency-key": "one"}
    assert served.draw(headers=headers).status_code == 200
    response = served.draw(headers=headers, **other)
    assert response.status_code == 400
    assert error_of(response)["code"] == "idempotency_key_reused"
    assert served.states() == ["done"]


def test_owners_have_keys_of_their_own(served: Served) -> None:
    for name in ("alice", "bob"):
        _, headers = key(served, name)
        assert served.draw(headers={**headers, "idempotency-key": "one"}).status_code == 200
    assert served.states() == ["done", "done"]


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_key_has_some_length(served: Served, name: str) -> None:
    response = served.draw(headers={"idempotency-key": name})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_value")
    assert served.draw(headers={"idempotency-key": "x" * 255}).status_code == 200


def test_what_the_server_broke_may_be_asked_again(served: Served) -> None:
    headers = {"idempotency-key": "one"}
    served.engines.act = failing("internal")
    assert served.draw(headers=headers).status_code == 500
    served.engines.act = StubEngine.draw
    assert served.draw(headers=headers).status_code == 200
    assert served.states() == ["failed", "done"]


def test_what_was_refused_is_refused_again_and_not_drawn(served: Served) -> None:
    headers = {"idempotency-key": "one"}
    served.engines.act = failing("request", "size 3 is not one of 64")
    for _ in range(2):
        response = served.draw(headers=headers)
        assert response.status_code == 400
        assert error_of(response)["message"] == "size 3 is not one of 64"
        assert response.headers["x-should-retry"] == "false"
    assert len(served.engines.runs()) == 1


def test_a_retry_of_openais_clients_finds_the_first_try(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"response_format": "b64_json"}
    first = served.draw(**asked, headers={"x-stainless-retry-count": "0"})
    assert pixels(served.draw(**asked, headers={"x-stainless-retry-count": "1"})) == pixels(first)
    assert len(served.states()) == 1
    assert pixels(served.draw(**asked, headers={"x-stainless-retry-count": "0"})) != pixels(first)
    served.draw(**asked, prompt="another", headers={"x-stainless-retry-count": "1"})
    assert len(served.states()) == 3
    monkeypatch.setattr(accepting, "REPEAT_SECONDS", 0.0)
    served.draw(**asked, headers={"x-stainless-retry-count": "1"})
    assert len(served.states()) == 4


def test_a_retry_of_what_failed_is_a_new_job(served: Served) -> None:
    served.engines.act = failing("internal")
    assert served.draw().status_code == 500
    served.engines.act = StubEngine.draw
    assert served.draw(headers={"x-stainless-retry-count": "1"}).status_code == 200
    assert served.states() == ["failed", "done"]


def test_nobody_finds_a_job_of_others(served: Served) -> None:
    for name in ("alice", "bob"):
        _, headers = key(served, name)
        assert served.draw(headers={**headers, "x-stainless-retry-count": "1"}).status_code == 200
    assert len(served.states()) == 2


def test_the_same_pictures_with_the_same_key_are_the_same_job(served: Served) -> None:
    image = Image.new("RGBA", (64, 64), "red")
    image.paste((0, 0, 0, 0), (10, 10, 30, 30))
    other = Image.new("RGBA", (64, 64), "red")
    other.paste((0, 0, 0, 0), (10, 10, 30, 31))

    def edited(picture: Image.Image) -> Any:
        return served.client.post(
            "/v1/images/edits",
            data={"prompt": "a cube", "size": "256x256"},
            files={"image": file_of(picture)},
            headers={"idempotency-key": "one"},
        )

    assert [edited(picture).status_code for picture in (image, image, other)] == [200, 200, 400]
    assert served.states() == ["done"]


def test_a_retry_waits_with_the_first_try_for_one_job(settings: Settings, engines: Engines) -> None:
    engines.act = hold

    async def twice() -> None:
        async with running(settings) as server:
            first = server.draw(response_format="b64_json")
            await eventually(engines.runs)
            second = server.draw({"x-stainless-retry-count": "1"}, response_format="b64_json")
            third = server.draw({"x-stainless-retry-count": "2"}, response_format="b64_json")
            await asyncio.sleep(0.05)
            ((engine, run),) = engines.runs()
            engine.draw(run)
            answers = [(await one.ended()).json()["data"] for one in (first, second, third)]
            assert answers[0] == answers[1] == answers[2]
            assert server.states == ["done"]

    asyncio.run(twice())


def test_of_two_who_come_at_once_with_one_key_one_is_drawn(settings: Settings, engines: Engines) -> None:
    async def together() -> None:
        async with running(settings) as server:
            asked = [server.draw({"idempotency-key": "one"}, response_format="b64_json") for _ in range(5)]
            answers = [(await one.ended()).json()["data"] for one in asked]
            assert all(answer == answers[0] for answer in answers)
            assert server.states == ["done"]

    asyncio.run(together())


# How much.


def test_a_month_has_so_many_pictures(served: Served) -> None:
    _, headers = key(served, monthly_credits=3)
    assert served.draw(headers=headers, n=2).status_code == 200
    response = served.draw(headers=headers, n=2)
    assert response.status_code == 429
    error = error_of(response)
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "2 of 3 pictures of this month are used, and this request is for 2" in error["message"]
    assert response.headers["x-should-retry"] == "false"
    assert served.draw(headers=headers).status_code == 200
    assert served.draw(headers=headers).status_code == 429
    assert served.states() == ["done", "done"]


def test_last_months_pictures_do_not_count(served: Served) -> None:
    alice, headers = key(served, monthly_credits=3)
    served.service.jobs.add(a_job(owner=alice.id, n=3, created=month_began(time.time()) - 1, state="done"))
    assert served.draw(headers=headers, n=3).status_code == 200


def test_a_minute_has_so_many_pictures(served: Served) -> None:
    _, headers = key(served, images_per_minute=3)
    response = served.draw(headers=headers, n=2)
    assert response.status_code == 200
    told = {name: response.headers[f"x-ratelimit-{name}-images"] for name in ("limit", "remaining", "reset")}
    assert (told["limit"], told["remaining"]) == ("3", "1")
    assert 55 <= int(told["reset"].removesuffix("s")) <= 60
    response = served.draw(headers=headers, n=2)
    assert response.status_code == 429
    error = error_of(response)
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert error["message"] == "Rate limit exceeded for images per minute. Limit: 3/1min. Current: 4/1min."
    assert 55 <= int(response.headers["retry-after"]) <= 60
    assert response.headers["x-ratelimit-remaining-images"] == "1"
    assert "x-should-retry" not in response.headers
    assert served.draw(headers=headers).status_code == 200


def test_what_no_minute_has_need_not_be_asked_again(served: Served) -> None:
    _, headers = key(served, images_per_minute=3)
    response = served.draw(headers=headers, n=4)
    assert response.status_code == 429
    assert response.headers["x-should-retry"] == "false"


def test_a_minute_later_there_is_more(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, headers = key(served, images_per_minute=3)
    now = time.time()
    served.service.jobs.add(a_job(owner=alice.id, n=3, created=now - 50.0, state="done"))
    response = served.draw(headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (429, "10")
    monkeypatch.setattr(minute, "time", SimpleNamespace(time=lambda: now + 11.0))
    assert served.draw(headers=headers).status_code == 200


def test_keys_without_limits_are_told_none(served: Served) -> None:
    _, headers = key(served)
    response = served.draw(headers=headers, n=10)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("x-ratelimit")]


LIMITS = pytest.mark.parametrize("limit", ["monthly_credits", "images_per_minute"])


@LIMITS
def test_pictures_that_are_not_made_cost_nothing(served: Served, limit: str) -> None:
    _, headers = key(served, **{limit: 2})
    for reason, status in (("internal", 500), ("request", 400), ("policy", 400)):
        served.engines.act = failing(reason)
        assert served.draw(headers=headers, n=2).status_code == status
    served.engines.act = StubEngine.draw
    assert served.draw(headers=headers, n=2).status_code == 200
    assert served.draw(headers=headers).status_code == 429


@LIMITS
def test_jobs_that_are_cancelled_cost_nothing(settings: Settings, engines: Engines, limit: str) -> None:
    engines.act = hold

    async def cancelled() -> None:
        async with running(settings) as server:
            _, secret = server.service.keys.create("alice", **{limit: 2})
            headers = {"authorization": f"Bearer {secret}"}
            first = server.draw(headers, n=2)
            await eventually(engines.runs)
            assert (await server.draw(headers).ended()).status == 429  # it is promised
            first.go()
            await first.ended()
            engines.act = StubEngine.draw
            assert (await server.draw(headers, n=2).ended()).status == 200

    asyncio.run(cancelled())


@LIMITS
def test_a_repeat_costs_nothing(served: Served, limit: str) -> None:
    _, headers = key(served, **{limit: 1})
    headers |= {"idempotency-key": "one"}
    assert [served.draw(headers=headers).status_code for _ in range(3)] == [200, 200, 200]


@LIMITS
def test_nobody_gets_more_by_asking_for_it_all_at_once(
    settings: Settings, engines: Engines, limit: str
) -> None:
    async def at_once() -> None:
        async with running(settings) as server:
            _, secret = server.service.keys.create("alice", **{limit: 3})
            asked = [server.draw({"authorization": f"Bearer {secret}"}) for _ in range(8)]
            statuses = [(await one.ended()).status for one in asked]
            assert sorted(statuses) == [200] * 3 + [429] * 5

    asyncio.run(at_once())


def test_who_is_refused_leaves_nothing_behind(served: Served) -> None:
    alice, headers = key(served, monthly_credits=1)
    response = served.client.post(
        "/v1/images/variations",
        data={"n": "2"},
        files={"image": file_of(Image.new("RGB", (64, 64)))},
        headers=headers,
    )
    assert response.status_code == 429
    assert served.service.gallery.list(alice.id) == []
    assert list(served.service.store.digests()) == []


def test_months_begin_and_end_by_utc() -> None:
    def at(*when: int) -> float:
        return float(calendar.timegm((*when, 0, 0, 0)[:6]))

    assert month_began(at(2026, 2, 28, 23, 59, 59)) == at(2026, 2, 1)
    assert month_ends(at(2026, 2, 28)) == at(2026, 3, 1)
    assert month_began(at(2026, 12, 1)) == at(2026, 12, 1)
    assert month_ends(at(2026, 12, 31, 23)) == at(2027, 1, 1)


# Full.


def test_a_full_queue_takes_no_more_and_stores_nothing(settings: Settings, engines: Engines) -> None:
    engines.act = hold

    async def full() -> None:
        async with running(replace(settings, slots=1, queue_limit=1)) as server:
            drawn = server.draw()
            await eventually(engines.runs)
            waiting = server.draw()
            await eventually(lambda: server.service.dispatcher.waiting)
            picture = file_of(Image.new("RGB", (8, 8)))
            part = b'--XX\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            form = {"content-type": "multipart/form-data; boundary=XX"}
            body = part + picture + b"\r\n--XX--\r\n"
            refused = await server.ask("/v1/images/variations", body, headers=form).ended()
            assert refused.status == 503
            assert list(server.service.store.digests()) == []
            assert server.service.gallery.list("anonymous") == []
            assert refused.headers["retry-after"] == "5"
            assert refused.headers["x-should-retry"] == "true"
            error = refused.json()["error"]
            assert (error["type"], error["code"]) == ("server_error", "overloaded")
            assert server.states == ["running", "queued"]
            engines.act = StubEngine.draw
            engines.runs()[0][0].draw(engines.runs()[0][1])
            assert [(await one.ended()).status for one in (drawn, waiting)] == [200, 200]

    asyncio.run(full())


# Policy.


@pytest.fixture
def bloody(settings: Settings) -> Settings:
    """A server whose operator objects to one word."""
    (settings.home / "policy").mkdir()
    (settings.home / "policy" / "words.txt").write_text("[violence]\nbloodbath\n", "utf-8")
    return settings


@pytest.mark.usefixtures("bloody")
@pytest.mark.parametrize(
    ("mode", "status", "action"), [("off", 200, None), ("flag", 200, "flagged"), ("block", 400, "refused")]
)
def test_the_policy_decides_about_a_sentence_and_the_trail_says_it(
    serve: Serve, mode: str, status: int, action: str | None
) -> None:
    served = serve(policy=mode)
    response = served.draw(prompt="a bloodbath", user="customer-7")
    assert response.status_code == status
    entries = served.service.audit.list(10)
    assert [entry.action for entry in entries] == ([] if action is None else [action])
    for entry in entries:
        assert entry.owner == "anonymous"
        assert entry.detail == {
            "flags": ["words: violence: bloodbath"],
            "task": "text_to_image",
            "user": "customer-7",
        }
        assert "a bloodbath" not in str(entry)
    if status == 400:
        error = error_of(response)
        assert (error["code"], error["param"]) == ("content_policy_violation", None)
        assert error["message"].startswith("Your request was rejected as a result of our safety system.")
        assert served.states() == []
        assert (
            'unclip_refused_total{code="content_policy_violation"} 1'
            in served.service.metrics.text().decode()
        )
    assert served.draw(prompt="a red cube").status_code == 200


@pytest.mark.usefixtures("bloody")
@LIMITS
def test_who_is_refused_by_the_policy_pays_nothing(serve: Serve, limit: str) -> None:
    served = serve(policy="block")
    _, headers = key(served, **{limit: 1})
    assert served.draw(headers=headers, prompt="a bloodbath").status_code == 400
    assert served.draw(headers=headers).status_code == 200


@pytest.mark.parametrize(("mode", "status"), [("block", 503), ("flag", 200)])
def test_without_its_moderator_a_server_that_blocks_cannot_tell(
    serve: Serve, mode: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = serve(policy=mode, moderation_url="http://127.0.0.1:9/v1/moderations")
    response = served.draw()
    assert response.status_code == status
    if status == 503:
        assert error_of(response)["message"].startswith("The moderator cannot be reached")
        assert response.headers["retry-after"] == "30"
    else:
        assert served.service.audit.list(1)[0].detail["flags"] == ["moderation: unavailable"]


# What becomes of a request.


def test_a_job_says_who_asked_for_what(served: Served) -> None:
    alice, headers = key(served, priority=3)
    served.draw(headers=headers, n=2, user="one", safety_identifier="two")
    (job,) = served.service.jobs.list(alice.id, 2)
    assert (job.owner, job.task, job.n, job.priority, job.user) == (alice.id, "text_to_image", 2, 3, "two")
    settings = job.request["settings"]
    assert (settings["prompt"], settings["n"], settings["size"]) == ("a red cube", 2, 256)
    assert 0 <= settings["seed"] < 2**32
    assert job.request["side"] == 256
    assert not job.detached


def test_nobody_is_drawn_from_the_same_noise_unasked(served: Served) -> None:
    for _ in range(3):
        served.draw()
    seeds = [job.request["settings"]["seed"] for job in served.service.jobs.list(None, 3)]
    assert len(set(seeds)) == 3


@pytest.mark.parametrize(
    ("scopes", "asked", "given"),
    [
        (("images",), None, 2),
        (("images",), 1, 1),
        (("images",), 2, 2),
        (("images",), 9, 2),  # no higher than the key's
        (("images",), -5, -5),
        (("admin",), 9, 9),
    ],
)
def test_only_an_administrator_is_served_before_what_the_key_gives(
    served: Served, scopes: tuple[str, ...], asked: int | None, given: int
) -> None:
    _, headers = key(served, scopes=scopes, priority=2)
    body = {"task": "text_to_image", "prompt": "a red cube", "size": 64, "priority": asked}
    response = served.client.post("/api/jobs", json=body, headers=headers)
    assert response.status_code == 202, response.text
    assert response.json()["priority"] == given
