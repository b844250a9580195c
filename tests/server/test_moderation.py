import asyncio
import socket
import time
from typing import Any

import pytest
from moderator import Moderator

from unclip.errors import RequestError
from unclip.server.policy.moderation import ModerationUnavailable, ask, check_url

TEXT, KEY = "a sentence that no message may hold", "sk-secret"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def asked(moderator: Moderator, **options: Any) -> list[str]:
    async def once() -> list[str]:
        async with moderator.running():
            return await ask(moderator.url, TEXT, **options)

    return asyncio.run(once())


def test_the_text_is_sent_in_the_shape_of_openai() -> None:
    moderator = Moderator.of({"flagged": False, "categories": {"hate": False}})
    assert asked(moderator) == []
    ((head, body),) = moderator.heard
    assert head.startswith("POST /v1/moderations HTTP/1.1\r\n")
    assert "content-type: application/json" in head.lower()
    assert "authorization" not in head.lower()
    assert body == {"input": TEXT}


def test_key_and_model_are_sent_if_they_are_given() -> None:
    moderator = Moderator.of({"flagged": False, "categories": {}})
    asked(moderator, key=KEY, model="guard-1")
    ((head, body),) = moderator.heard
    assert f"authorization: bearer {KEY}" in head.lower()
    assert body == {"input": TEXT, "model": "guard-1"}


def test_flagged_categories_come_back_sorted_and_once() -> None:
    moderator = Moderator.of(
        {"flagged": True, "categories": {"violence": True, "hate": True, "self-harm": False}},
        {"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.9}},
        {"flagged": False, "categories": {"sexual": True}},  # below the moderator's own bar
    )
    assert asked(moderator) == ["hate", "violence"]


@pytest.mark.parametrize("result", [{"flagged": True}, {"flagged": True, "categories": {"hate": False}}])
def test_a_flag_without_a_category_is_a_flag(result: dict[str, Any]) -> None:
    assert asked(Moderator.of(result)) == ["flagged"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"results": []}',
        b'{"results": {}}',
        b'{"results": ["hate"]}',
        b'{"results": [{}]}',
        b'{"results": [{"flagged": "yes"}]}',
        b'{"results": [{"flagged": true, "categories": ["hate"]}]}',
        b'{"results": [{"flagged": true, "categories": {"hate": 0.9}}]}',
        b'{"error": {"message": "no"}}',
    ],
)
def test_another_shape_is_no_answer(body: bytes) -> None:
    with pytest.raises(ModerationUnavailable, match="another shape"):
        asked(Moderator(body))


@pytest.mark.parametrize("status", [201, 400, 401, 429, 500, 503])
def test_another_status_is_no_answer(status: int) -> None:
    good = Moderator.of({"flagged": False, "categories": {}})
    with pytest.raises(ModerationUnavailable, match=f"status {status}"):
        asked(Moderator(good.body, status))


def test_redirects_are_not_followed() -> None:
    async def once() -> None:
        async with Moderator.of({"flagged": False}).running() as elsewhere:
            here = Moderator(b"", 307, f"Location: {elsewhere.url}\r\n")
            async with here.running():
                with pytest.raises(ModerationUnavailable, match="status 307"):
                    await ask(here.url, TEXT, KEY)
            assert not elsewhere.heard

    asyncio.run(once())


@pytest.mark.parametrize("wait", [30.0, 0.02])
def test_a_slow_answer_is_no_answer(wait: float) -> None:
    """Whether it does not begin, or does not end: every byte comes in time, and all of them do not."""
    moderator = Moderator.of({"flagged": False, "categories": {}})
    moderator.wait = wait
    began = time.monotonic()
    with pytest.raises(ModerationUnavailable, match=r"within 0\.3 s"):
        asked(moderator, timeout=0.3)
    assert time.monotonic() - began < 10


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(ModerationUnavailable, match="cannot be reached"):
            asyncio.run(ask(url, TEXT))


def test_no_message_holds_text_or_key() -> None:
    for moderator in (Moderator(b"no"), Moderator(b"", 500)):
        with pytest.raises(ModerationUnavailable) as raised:
            asked(moderator, key=KEY)
        assert TEXT not in str(raised.value)
        assert KEY not in str(raised.value)


def test_half_a_surrogate_pair_is_sent_as_it_came() -> None:
    moderator = Moderator.of({"flagged": False, "categories": {}})

    async def once() -> list[str]:
        async with moderator.running():
            return await ask(moderator.url, "a \ud800")

    assert asyncio.run(once()) == []
    assert moderator.heard[0][1] == {"input": "a \ud800"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/v1/moderations", "https://example.org"])
def test_http_addresses_are_good(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", ["", "localhost:9000", "ftp://example.org", "http://", "http://a:b:c", "/v1"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(RequestError, match="no HTTP address"):
        check_url(url)
