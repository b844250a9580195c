"""`unclip keys`: the secret is printed once, and keys are listed and revoked."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unclip.records.audit import Audit
from unclip.records.database import open_database
from unclip.records.keys import Key, Keys

Refused = Callable[..., str]
Listed = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's folder, which is not there yet."""
    monkeypatch.setenv("UNCLIP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def listed(unclip: Any) -> Listed:
    """What `unclip keys list --json` prints."""
    return lambda: json.loads(unclip("keys", "list", "--json").out)


def found(home: Path, secret: str) -> Key | None:
    """The key that a server finds by a secret."""
    engine = open_database(f"sqlite:///{home / 'unclip.db'}")
    key = Keys(engine).find(secret)
    engine.dispose()
    return key


def test_the_secret_alone_is_on_standard_output(unclip: Any, home: Path) -> None:
    outcome = unclip("keys", "create", "phone")
    assert outcome.code == 0
    assert re.fullmatch(r"sk-[\w-]{43}\n", outcome.out)
    key = found(home, outcome.out.strip())
    assert key is not None
    assert key.name == "phone"
    assert f"key phone ({key.id}) is in force for good, scopes: images." in outcome.err
    assert outcome.out.strip() not in outcome.err


def test_a_key_has_what_was_asked_for(unclip: Any, home: Path) -> None:
    limits = ("--images-per-minute", 5, "--monthly-credits", 100, "--priority", -1)
    more = ("--response-format", "b64_json", "--scopes", "admin, images", "--expires-days", 1.5)
    outcome = unclip("keys", "create", "phone", *limits, *more)
    key = found(home, outcome.out.strip())
    assert key is not None
    assert (key.images_per_minute, key.monthly_credits, key.priority) == (5, 100, -1)
    assert (key.response_format, key.scopes) == ("b64_json", {"admin", "images"})
    assert key.expires is not None
    assert key.expires - time.time() == pytest.approx(1.5 * 86400, abs=60)
    assert re.search(r"in force until \d{4}-\d\d-\d\d \d\d:\d\d UTC, scopes: admin, images\.", outcome.err)


def test_keys_are_listed_and_revoked(unclip: Any, refused: Refused, home: Path, listed: Listed) -> None:
    secrets = [unclip("keys", "create", name).out.strip() for name in ("phone", "laptop", "old")]
    unclip("keys", "create", "expired", "--expires-days", 0)
    outcome = unclip("keys", "revoke", "old")
    assert (outcome.code, outcome.out) == (0, "old: revoked\n")
    keys = listed()
    assert [key["name"] for key in keys] == ["phone", "laptop", "old", "expired"]
    assert [key["revoked"] is None for key in keys] == [True, True, False, True]
    assert unclip("keys", "revoke", keys[1]["id"]).code == 0
    table = unclip("keys", "list").out
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows[1:]] == ["phone", "laptop", "old", "expired"]
    assert [row[3] for row in rows[1:]] == ["for", "revoked", "revoked", "expired"]
    assert rows[1][1] == f"{secrets[0][:11]}..."
    assert not [secret for secret in secrets if secret in table + json.dumps(keys)]
    assert "no key in force is named old: see unclip keys list" in refused("keys", "revoke", "old")


def test_the_audit_trail_tells_of_keys(unclip: Any, home: Path) -> None:
    secret = unclip("keys", "create", "phone").out.strip()
    unclip("keys", "revoke", "phone")
    engine = open_database(f"sqlite:///{home / 'unclip.db'}")
    entries = Audit(engine).list(limit=10)
    engine.dispose()
    assert [(entry.action, entry.detail["name"]) for entry in entries] == [
        ("key.revoke", "phone"),
        ("key.create", "phone"),
    ]
    assert secret not in str(entries)


def test_a_database_that_is_named(unclip: Any, home: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    assert unclip("keys", "create", "phone", "--database", url).code == 0
    assert [key["name"] for key in json.loads(unclip("keys", "list", "--json", "--database", url).out)] == [
        "phone"
    ]
    assert not home.exists()
    unclip("keys", "create", "other", "--home", tmp_path / "other")
    assert (tmp_path / "other" / "unclip.db").exists()


def test_bad_orders_are_refused(unclip: Any, refused: Refused, home: Path, tmp_path: Path) -> None:
    unclip("keys", "create", "phone")
    assert "there is a key named phone already" in refused("keys", "create", "phone")
    assert "scopes are images and admin, not root" in refused("keys", "create", "x", "--scopes", "root")
    assert "scopes are images and admin" in refused("keys", "create", "x", "--scopes", "")
    assert "a name has 1 to 100" in refused("keys", "create", " ")
    for option, value in (
        ("--images-per-minute", 0),
        ("--monthly-credits", 0),
        ("--expires-days", -1),
        ("--expires-days", 1e9),
        ("--response-format", "png"),
    ):
        assert option in refused("keys", "create", "x", option, value)
    assert "cannot be opened" in refused("keys", "list", "--database", f"sqlite:///{tmp_path}")
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be made" in refused("keys", "list", "--home", tmp_path / "file")


def test_without_the_packages_of_a_server(
    refused: Refused, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("unclip.records")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert refused("keys", "list") == "unclip: this needs sqlalchemy: pip install 'unclip[server]'\n"


@pytest.mark.parametrize("name", ["create", "list", "revoke"])
def test_every_command_says_what_it_does(unclip: Any, name: str) -> None:
    assert "Usage" in unclip("keys", name, "--help").out
