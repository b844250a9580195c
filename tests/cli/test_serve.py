"""`unclip serve` but for what it serves, which tests/server holds."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_engine import Engines, until
from unclip_server import free_port

from unclip.engine.process import Choice
from unclip.records.database import open_database
from unclip.records.keys import Keys
from unclip.server import app
from unclip.server.settings import Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the servers that would be served."""
    found = list[Settings]()
    monkeypatch.setattr("unclip.server.service.open_service", lambda settings: settings)
    monkeypatch.setattr("unclip.server.run.serve", found.append)
    return found


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is set up for a whole process is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.delenv("UNCLIP_HOME", raising=False)
    monkeypatch.delenv("UNCLIP_MODERATION_KEY", raising=False)
    yield
    root.handlers[:], root.level = handlers, level


def test_by_default_a_server_is_what_its_settings_say(
    unclip: Any, asked: list[Settings], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert unclip("serve", "--home", home).code == 0
    assert asked == [Settings(home, f"sqlite:///{home}/unclip.db", f"{home}/pictures")]
    assert home.is_dir()
    assert home.stat().st_mode & 0o077 == 0


def test_the_home_may_be_named_by_the_environment(
    unclip: Any, asked: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "there"))
    unclip("serve")
    assert asked[0].home == tmp_path / "there"


OPTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "address": (("--host", "0.0.0.0", "--port", 9000), {"host": "0.0.0.0", "port": 9000}),
    "database": (
        ("--database", "postgresql://me@there/pictures"),
        {"database": "postgresql://me@there/pictures"},
    ),
    "store": (("--store", "s3://pictures"), {"store": "s3://pictures"}),
    "proxy": (
        ("--public-url", "https://my.site", "--trusted-proxy", "10.0.0.1", "--trusted-proxy", "10.0.0.2"),
        {"public_url": "https://my.site", "trusted_proxies": ("10.0.0.1", "10.0.0.2")},
    ),
    "contract": (("--compat", "strict", "--no-alias"), {"compat": "strict", "alias": False}),
    "work": (("--slots", 3, "--queue-limit", 7), {"slots": 3, "queue_limit": 7}),
    "pages": (
        ("--cors", "https://a.site", "--cors", "https://b.site"),
        {"cors": ("https://a.site", "https://b.site")},
    ),
    "marks": (
        ("--no-sign", "--visible-signature", "--omit-prompt"),
        {"sign": False, "visible_signature": True, "omit_prompt": True},
    ),
    "certificate": (
        ("--certificate", "c.pem", "--certificate-key", "k.pem"),
        {"certificate": Path("c.pem"), "certificate_key": Path("k.pem")},
    ),
    "policy": (
        ("--policy", "block", "--moderation-url", "http://127.0.0.1:1/v1/moderations"),
        {"policy": "block", "moderation_url": "http://127.0.0.1:1/v1/moderations"},
    ),
    "days": (("--keep-days", 30), {"keep_days": 30.0}),
    "insecure": (("--insecure",), {"insecure": True}),
    "devices": (("--device", "cuda:0,cuda:1"), {"devices": ("cuda:0", "cuda:1")}),
    "model": (
        ("--model", "karlo", "--dtype", "bfloat16", "--weights", "int8", "--memory-limit", "4GiB"),
        {"choice": Choice("karlo", "auto", "bfloat16", "int8", "4GiB")},
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_a_setting(unclip: Any, asked: list[Settings], tmp_path: Path, name: str) -> None:
    arguments, settings = OPTIONS[name]
    outcome = unclip("serve", "--home", tmp_path, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert {field: getattr(asked[0], field) for field in settings} == settings


def test_no_setting_is_without_an_option() -> None:
    said = {field for _, settings in OPTIONS.values() for field in settings}
    assert set(Settings.__dataclass_fields__) - said == {"home", "moderation_key"}


def test_the_moderators_key_is_not_among_the_arguments(
    unclip: Any, asked: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNCLIP_MODERATION_KEY", "sk-of-the-moderator")
    unclip("serve", "--home", tmp_path)
    assert asked[0].moderation_key == "sk-of-the-moderator"


def test_each_device_has_a_process_and_concepts_are_looked_for_where_a_policy_wants_it(
    tmp_path: Path,
) -> None:
    def choices(**settings: Any) -> list[Choice]:
        return Settings(tmp_path, "", "", ("cpu", "cuda:1"), **settings).choices()

    assert [choice.device for choice in choices()] == ["cpu", "cuda:1"]
    assert {choice.concepts for choice in choices(policy="block")} == {None}
    concepts = tmp_path / "policy" / "concepts.toml"
    concepts.parent.mkdir()
    concepts.write_text("")
    for policy, found, block in (("off", None, False), ("flag", concepts, False), ("block", concepts, True)):
        assert {(choice.concepts, choice.block) for choice in choices(policy=policy)} == {(found, block)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", 70000), "less than or equal to 65535"),
        (("--slots", 0), "--slots"),
        (("--policy", "maybe"), "'maybe'"),
        (("--compat", "loose"), "'loose'"),
        (("--log-level", "loud"), "'loud'"),
        (("--keep-days", 0), "--keep-days"),
        (("--host", "0.0.0.0"), "make one with `unclip keys create NAME`, or give --insecure"),
        (("--database", "oracle://there"), "sqlite"),
        (("--moderation-url", "localhost"), "no HTTP address"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    refused: Callable[..., str], tmp_path: Path, arguments: tuple[Any, ...], words: str
) -> None:
    assert words in refused("serve", "--home", tmp_path, "--no-sign", *arguments)


@pytest.mark.parametrize("package", ["sqlalchemy", "uvicorn", "fastapi"])
def test_what_is_not_installed_is_named(tmp_path: Path, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from unclip.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"unclip: serving needs {package}: pip install 'unclip[server]'\n"


def test_a_demo_shows_what_to_do_with_a_key_that_works(
    unclip: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worked = list[tuple[str | None, Path]]()

    def open_service(settings: Settings) -> Settings:
        database = open_database(settings.database)
        (key,) = Keys(database).list()
        worked.append((key.prefix, settings.home))
        database.dispose()
        return settings

    monkeypatch.setattr("unclip.server.service.open_service", open_service)
    monkeypatch.setattr("unclip.server.run.serve", lambda _: None)
    outcome = unclip("serve", "--demo", "--port", 8123)
    assert outcome.code == 0
    ((prefix, home),) = worked
    secret = re.search(r"^key  (sk-\S+)$", outcome.out, re.MULTILINE)
    assert secret
    assert secret[1].startswith(prefix or "?")
    assert "URL  http://127.0.0.1:8123/v1\n" in outcome.out
    assert (
        f"try  curl http://127.0.0.1:8123/v1/images/generations -H 'Authorization: Bearer {secret[1]}'"
        in outcome.out
    )
    assert not home.exists()  # it was for this run alone


# Running, around a stub engine.


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    monkeypatch.setattr(app, "STOP_SECONDS", 1.0)
    return Engines.installed(monkeypatch)


def answers(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("engines")
def test_a_server_serves_until_it_is_told_to_stop(
    unclip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    port, seen = free_port(), list[int | None]()

    def client() -> None:
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/readyz") == 200)
            seen.append(answers(f"http://127.0.0.1:{port}/v1/models"))
        finally:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    thread = threading.Thread(target=client)
    thread.start()
    outcome = unclip("serve", "--home", tmp_path, "--port", port, "--no-sign")
    thread.join()
    assert (outcome.code, outcome.out, seen) == (0, "", [200])
    assert f"serving at http://127.0.0.1:{port}" in outcome.err
    assert "ready: Stub 1 on cpu" in outcome.err
    assert signal.getsignal(number) == before
    assert answers(f"http://127.0.0.1:{port}/healthz") is None
    database = open_database(f"sqlite:///{tmp_path}/unclip.db")  # which was let go
    database.dispose()


def test_a_model_that_cannot_be_loaded_ends_the_server(unclip: Any, engines: Engines, tmp_path: Path) -> None:
    engines.refuses = "nowhere: there is no model; give a folder"
    outcome = unclip("serve", "--home", tmp_path, "--port", 0, "--no-sign", "--log-level", "error")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "unclip: nowhere: there is no model; give a folder\n"


@pytest.mark.usefixtures("engines")
def test_an_address_that_is_taken_is_told(refused: Callable[..., str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = refused("serve", "--home", tmp_path, "--port", port, "--no-sign")
    assert f"127.0.0.1 cannot be served at port {port} (Address already in use)" in line
    line = refused("serve", "--home", tmp_path, "--host", "203.0.113.1", "--insecure", "--no-sign")
    assert "203.0.113.1 cannot be served at port 8000 (Cannot assign requested address)" in line


@pytest.mark.usefixtures("engines")
def test_two_servers_do_not_share_a_home(refused: Callable[..., str], tmp_path: Path) -> None:
    from unclip.server.service import open_service

    first = open_service(
        Settings(tmp_path, f"sqlite:///{tmp_path}/unclip.db", str(tmp_path / "p"), sign=False)
    )
    with first.closing:
        assert "in use by another server" in refused("serve", "--home", tmp_path, "--no-sign")
