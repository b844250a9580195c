"""Keys: made, found by their secrets, and put out of force."""

import hashlib
import re
import time
from typing import Any

import pytest
from sqlalchemy import Engine, text

from unclip.errors import RequestError
from unclip.records.database import reading
from unclip.records.keys import Keys


@pytest.fixture
def keys(engine: Engine) -> Keys:
    return Keys(engine)


def test_a_key_is_found_by_its_secret(keys: Keys) -> None:
    key, secret = keys.create("phone")
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", secret)
    assert key.prefix == secret[:11]
    assert key.scopes == {"images"}
    assert keys.find(secret) == keys.get(key.id) == key
    for wrong in ("", secret[:-1], secret + "A", secret.upper(), "sk-\0", "sk-\ud800", key.id, key.prefix):
        assert keys.find(wrong) is None
    assert keys.get("key_none") is None


def test_a_key_keeps_what_it_was_given(keys: Keys) -> None:
    limits = {"images_per_minute": 5, "monthly_credits": 100, "priority": -2, "response_format": "b64_json"}
    key, secret = keys.create("phone", scopes=["admin", "images"], expires=5000.5, **limits)
    assert key.scopes == {"admin", "images"}
    assert {name: getattr(key, name) for name in limits} == limits
    assert keys.find(secret) == key


def test_no_secret_is_kept(keys: Keys, engine: Engine) -> None:
    _, secret = keys.create("phone")
    with reading(engine) as connection:
        (row,) = connection.execute(text("SELECT * FROM keys")).all()
    assert not [value for value in row if secret[11:] in str(value)]
    assert hashlib.sha256(secret.encode()).hexdigest() in row


def test_secrets_differ(keys: Keys) -> None:
    assert len({keys.create(str(k))[1] for k in range(20)}) == 20


def test_a_name_is_one_keys_while_it_is_in_force(keys: Keys) -> None:
    first, _ = keys.create("phone")
    with pytest.raises(
        RequestError, match="there is a key named phone already: revoke it, or choose another"
    ):
        keys.create(" phone ")
    keys.revoke("phone")
    second, _ = keys.create("phone", expires=1.0)
    with pytest.raises(RequestError, match="already"):
        keys.create("phone")
    assert [key.id for key in keys.list()] == [first.id, second.id]


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_revoked_key_is_known_and_refused(keys: Keys, by: str) -> None:
    began = time.time()
    key, secret = keys.create("phone")
    other, _ = keys.create("laptop")
    revoked = keys.revoke(getattr(key, by))
    assert revoked.id == key.id
    assert revoked.revoked is not None
    assert began <= revoked.revoked <= time.time()
    assert keys.find(secret) == revoked
    assert revoked.refusal(time.time()) == "revoked"
    assert keys.list() == [revoked, other]
    with pytest.raises(RequestError, match=r"no key in force is named [a-z].*: see unclip keys list"):
        keys.revoke(getattr(key, by))


def test_a_key_expires(keys: Keys) -> None:
    key, _ = keys.create("phone", expires=1000.0)
    assert [key.refusal(now) for now in (999.9, 1000.0, 1000.1)] == [None, "expired", "expired"]
    assert keys.create("laptop")[0].refusal(1e12) is None


def test_an_expired_key_keeps_the_door_shut(keys: Keys) -> None:
    assert not keys.any_live()
    keys.create("phone", expires=1.0)
    assert keys.any_live()
    keys.revoke("phone")
    assert not keys.any_live()


def test_when_a_key_was_used(keys: Keys) -> None:
    key, secret = keys.create("phone")
    assert key.last_used is None
    keys.touch(key.id, 1234.5)
    found = keys.find(secret)
    assert found is not None
    assert found.last_used == 1234.5


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"scopes": []}, "scopes are images and admin, not none"),
        ({"scopes": ["images", "root"]}, "scopes are images and admin, not images, root"),
        ({"images_per_minute": 0}, "limits are 1 to 2147483647, or left out, and a priority is no larger"),
        ({"monthly_credits": 2**31}, "limits are 1 to"),
        ({"priority": -(2**31)}, "a priority is no larger"),
    ],
)
def test_what_no_key_can_have(keys: Keys, fields: dict[str, Any], line: str) -> None:
    with pytest.raises(RequestError, match=line):
        keys.create("phone", **fields)
    assert keys.list() == []
