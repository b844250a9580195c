"""The audit trail."""

import time

import pytest
from sqlalchemy import Engine, text

from unclip.records.audit import Audit
from unclip.records.database import reading
from unclip.records.keys import Keys


@pytest.fixture
def audit(engine: Engine) -> Audit:
    return Audit(engine)


def test_an_entry_is_kept_as_it_was_given(audit: Audit) -> None:
    began = time.time()
    audit.write("job.refused", "key_1", "job_1", {"flags": ["words: blood"], "count": 2})
    audit.write("start", None, None, {})
    start, refused = audit.list(limit=10)
    assert (refused.action, refused.owner, refused.job) == ("job.refused", "key_1", "job_1")
    assert refused.detail == {"flags": ["words: blood"], "count": 2}
    assert (start.action, start.owner, start.job, start.detail) == ("start", None, None, {})
    assert began <= refused.created <= start.created <= time.time()


def test_pages_of_entries(audit: Audit) -> None:
    for k in range(6):
        audit.write("even" if k % 2 == 0 else "odd", None, None, {"k": k})
    page = audit.list(limit=2, action="even")
    assert [entry.detail["k"] for entry in page] == [4, 2]
    assert [entry.detail["k"] for entry in audit.list(2, page[-1].id, "even")] == [0]
    assert [entry.detail["k"] for entry in audit.list(limit=3)] == [5, 4, 3]
    assert audit.list(limit=3, action="none") == []


def test_old_entries_are_deleted(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in (1000.0, 2000.0, 3000.0):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        audit.write("x", None, None, {})
    assert audit.prune(before=2000.0) == 1
    assert [entry.created for entry in audit.list(limit=10)] == [3000.0, 2000.0]
    assert audit.prune(before=2000.0) == 0


def test_no_secret_of_a_key_is_kept(audit: Audit, engine: Engine) -> None:
    key, secret = Keys(engine).create("phone")
    header = f"Bearer {secret}"
    audit.write(
        "slip", key.id, None, {"header": header, secret: [secret, f"é{secret}!"], "prompt": "risk-free"}
    )
    (entry,) = audit.list(limit=1)
    short = f"{key.prefix}..."
    assert entry.detail == {
        "header": f"Bearer {short}",
        short: [short, f"é{short}!"],
        "prompt": "risk-free",
    }
    with reading(engine) as connection:
        assert secret[11:] not in str(connection.execute(text("SELECT * FROM audit")).all())
