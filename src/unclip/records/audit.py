"""The audit trail: who did what when, for as long as the operator keeps it."""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from unclip.records.database import reading, writing
from unclip.records.names import new_id
from unclip.records.tables import audit

_SECRET = re.compile(r"(sk-[\w-]{8})[\w-]{9,}", re.ASCII)  # all but what is shown of a key


@dataclass(frozen=True)
class Entry:
    """Something that was done."""

    id: str
    created: float  # unix seconds
    action: str  # such as "key.create"
    owner: str | None  # a key's id, or "anonymous"; None: the operator, or the server itself
    job: str | None
    detail: dict[str, Any]  # JSON


class Audit:
    """The trail of a database. Each method is one transaction; threads may share the object."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, action: str, owner: str | None, job: str | None, detail: dict[str, Any]) -> None:
        """Add an entry; what looks like a key's secret in its detail is cut short, wherever it came from."""
        kept = json.loads(_SECRET.sub(r"\1...", json.dumps(detail)))
        entry = Entry(new_id("aud"), time.time(), action, owner, job, kept)
        with writing(self._engine) as connection:
            connection.execute(insert(audit).values(**vars(entry)))

    def prune(self, before: float) -> int:
        """Delete entries from before a time, and return how many those were."""
        with writing(self._engine) as connection:
            return connection.execute(delete(audit).where(audit.c.created < before)).rowcount

    def list(self, limit: int, before: str | None = None, action: str | None = None) -> list[Entry]:
        """Return the newest entries; `before` is the last id of the page before."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        if action is not None:
            query = query.where(audit.c.action == action)
        with reading(self._engine) as connection:
            return [Entry(**row) for row in connection.execute(query).mappings()]
