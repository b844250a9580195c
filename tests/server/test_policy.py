import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from moderator import Moderator

from unclip.errors import RequestError
from unclip.server.policy.moderation import ModerationUnavailable
from unclip.server.policy.policy import Mode, Policy, Verdict
from unclip.server.policy.words import WordFile

HATE = {"flagged": True, "categories": {"hate": True}}
FINE = {"flagged": False, "categories": {"hate": False}}


@pytest.fixture
def words(tmp_path: Path) -> WordFile:
    path = tmp_path / "words.txt"
    path.write_text("[violence]\nbloodbath\n", "utf-8")
    return WordFile(path)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def verdict(server: Moderator, make: Callable[[str], Policy], text: str) -> Verdict:
    async def once() -> Verdict:
        async with server.running():
            return await make(server.url).prompt(text)

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("off", Verdict()),
        ("flag", Verdict(("words: violence: bloodbath",))),
        ("block", Verdict(("words: violence: bloodbath",), refused=True)),
    ],
)
def test_the_mode_decides_what_a_word_does(words: WordFile, mode: Mode, expected: Verdict) -> None:
    assert asyncio.run(Policy(mode, words).prompt("a BL00DBATH in a red room")) == expected


@pytest.mark.parametrize("mode", ["off", "flag", "block"])
@pytest.mark.parametrize("text", ["a cat", ""])
def test_other_sentences_pass(words: WordFile, mode: Mode, text: str) -> None:
    assert asyncio.run(Policy(mode, words).prompt(text)) == Verdict()


def test_the_word_list_is_the_one_that_the_file_has_now(words: WordFile, tmp_path: Path) -> None:
    policy = Policy("block", words)
    (tmp_path / "words.txt").write_text("acme corporation\n", "utf-8")
    assert asyncio.run(policy.prompt("a bloodbath by the Acme Corporation")).flagged == (
        "words: acme corporation",
    )


@pytest.mark.parametrize(("mode", "refused"), [("flag", False), ("block", True)])
def test_the_moderator_is_asked_with_its_key_and_model(words: WordFile, mode: Mode, refused: bool) -> None:
    server = Moderator.of(HATE)
    found = verdict(server, lambda url: Policy(mode, words, url, "sk-1", "guard"), "a sentence")
    assert found == Verdict(("moderation: hate",), refused)
    ((head, body),) = server.heard
    assert "bearer sk-1" in head.lower()
    assert body == {"input": "a sentence", "model": "guard"}


def test_what_is_flagged_by_both_says_both(words: WordFile) -> None:
    found = verdict(Moderator.of(HATE), lambda url: Policy("flag", words, url), "a bloodbath")
    assert found == Verdict(("words: violence: bloodbath", "moderation: hate"))


@pytest.mark.parametrize(("mode", "text"), [("off", "a cat"), ("block", "a bloodbath"), ("flag", "")])
def test_the_moderator_hears_no_more_than_it_must(words: WordFile, mode: Mode, text: str) -> None:
    server = Moderator.of(FINE)
    verdict(server, lambda url: Policy(mode, words, url), text)
    assert not server.heard


def test_without_the_moderator_block_cannot_tell(words: WordFile) -> None:
    with pytest.raises(ModerationUnavailable):
        verdict(Moderator(b"", 500), lambda url: Policy("block", words, url), "a cat")


def test_without_the_moderator_flag_says_so_and_goes_on(words: WordFile) -> None:
    found = verdict(Moderator(b"", 500), lambda url: Policy("flag", words, url), "a cat")
    assert found == Verdict(("moderation: unavailable",))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("off", Verdict()),
        ("flag", Verdict(("concept: night", "concept: snow"))),
        ("block", Verdict(("concept: night", "concept: snow"), refused=True)),
    ],
)
def test_the_mode_decides_what_a_concept_does(words: WordFile, mode: Mode, expected: Verdict) -> None:
    assert Policy(mode, words).concepts(("night", "snow")) == expected
    assert Policy(mode, words).concepts(()) == Verdict()


def test_a_verdict_is_plain_data_without_the_text(words: WordFile) -> None:
    found = asyncio.run(Policy("block", words).prompt("my secret b.l.o.o.d.b.a.t.h"))
    assert json.loads(json.dumps(asdict(found))) == {
        "flagged": ["words: violence: bloodbath"],
        "refused": True,
    }


def test_a_moderator_needs_an_address(words: WordFile) -> None:
    with pytest.raises(RequestError, match="no HTTP address"):
        Policy("flag", words, "localhost")
