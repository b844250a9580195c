"""What a key has used, and the audit trail."""

import time

import httpx
from running_server import Running, User
from stub_engine import Engines, StubEngine

from unclip.engine.messages import Run
from unclip.server.accepting import month_ends


def test_without_limits_nothing_is_limited(alice: User) -> None:
    alice.done("text_to_image", prompt="an apple", n=3)
    assert alice.get("/api/usage") == {
        "owner": alice.id,
        "images_per_minute": {"limit": None, "remaining": None, "reset": None},
        "monthly": {"limit": None, "used": 3, "reset": month_ends(time.time())},
    }


def test_limits_are_told_with_what_is_left(server: Running, bob: User) -> None:
    carol = server.user("carol", images_per_minute=5, monthly_credits=100)
    before = carol.get("/api/usage")
    assert (before["images_per_minute"]["limit"], before["images_per_minute"]["remaining"]) == (5, 5)
    bob.done("text_to_image", prompt="an apple", n=7)
    carol.done("text_to_image", prompt="an apple", n=2)
    after = carol.get("/api/usage")
    assert after["images_per_minute"]["remaining"] == 3
    assert time.time() < after["images_per_minute"]["reset"] <= time.time() + 60
    assert (after["monthly"]["limit"], after["monthly"]["used"]) == (100, 2)


def test_what_fails_is_not_used(alice: User, engines: Engines) -> None:
    def fail(engine: StubEngine, run: Run) -> None:
        engine.fail(run, "internal", "it broke")

    engines.act = fail
    assert alice.done("text_to_image", prompt="an apple", n=3)["state"] == "failed"
    assert alice.get("/api/usage")["monthly"]["used"] == 0


def test_who_needs_no_key_is_anonymous(server: Running) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as here:
        assert here.get("/api/usage").json()["owner"] == "anonymous"
        assert here.get("/api/audit").json() == {"data": [], "next": None}


def test_the_trail_is_read_page_by_page(root: User, server: Running) -> None:
    for k in range(5):
        server.service.audit.write("refused" if k % 2 else "flagged", "alice", None, {"k": k})
    first = root.get("/api/audit", limit=3)
    assert [entry["detail"]["k"] for entry in first["data"]] == [4, 3, 2]
    second = root.get("/api/audit", limit=3, before=first["next"])
    assert [entry["detail"]["k"] for entry in second["data"]] == [1, 0]
    assert second["next"] is None
    refused = root.get("/api/audit", action="refused")
    assert [entry["detail"]["k"] for entry in refused["data"]] == [3, 1]
    assert set(first["data"][0]) == {"id", "created", "action", "owner", "job", "detail"}


def test_only_an_administrator_reads_the_trail(alice: User, server: Running) -> None:
    error = alice.refused("GET", "/api/audit", 403)
    assert error["code"] == "insufficient_permissions"
    assert httpx.get(f"{server.url}/api/audit", trust_env=False).status_code == 401


def test_an_administrator_alone_may_not_be_a_user(server: Running) -> None:
    admin = server.user("admin", scopes=("admin",))
    assert admin.get("/api/audit")["data"] == []
    assert admin.get("/api/usage")["owner"] == admin.id  # admin implies images
