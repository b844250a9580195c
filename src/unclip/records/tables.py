"""The tables, as the newest migration leaves them."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine


class Words(TypeDecorator[str]):
    """Text from outside: what no database holds, NUL and halves of surrogate pairs, becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make text storable, also where it is compared with what is stored."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        value = value.replace("\0", "\ufffd")
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Id(Words):
    """An id, sorted by its bytes whatever language PostgreSQL was set up for: pages of lists begin at ids."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Name the order to PostgreSQL; SQLite has no other."""
        return dialect.type_descriptor(String(collation="C" if dialect.name == "postgresql" else None))


_Json = JSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def _column(name: str, type_: Any, *rules: Any, null: bool = False, key: bool = False) -> Column[Any]:
    return Column(name, type_, *rules, nullable=null, primary_key=key)


jobs = Table(
    "jobs",
    metadata,
    _column("id", Id, key=True),
    _column("owner", Words),
    _column("task", Words),
    _column("request", _Json),
    _column("n", Integer),
    _column("created", Double),
    _column("state", String),
    _column("priority", Integer),
    _column("attempts", Integer),
    _column("started", Double, null=True),
    _column("finished", Double, null=True),
    _column("error", _Json, null=True),
    _column("detached", Boolean),
    _column("idempotency_key", Words, null=True),
    _column("body_hash", Words, null=True),
    _column("user", Words, null=True),
    _column("notes", _Json),
)
Index("ix_jobs_state", jobs.c.state, jobs.c.priority, jobs.c.id)  # the queue
Index("ix_jobs_owner", jobs.c.owner, jobs.c.id)
Index("ix_jobs_used", jobs.c.owner, jobs.c.created)
_with_key = jobs.c.idempotency_key.is_not(None)
Index(
    "uq_jobs_idempotency_key",
    jobs.c.owner,
    jobs.c.idempotency_key,
    unique=True,
    sqlite_where=_with_key,
    postgresql_where=_with_key,
)
_with_body = jobs.c.body_hash.is_not(None)
Index(
    "ix_jobs_body_hash",
    jobs.c.owner,
    jobs.c.body_hash,
    jobs.c.created,
    sqlite_where=_with_body,
    postgresql_where=_with_body,
)

pictures = Table(
    "pictures",
    metadata,
    _column("id", Id, key=True),
    _column("owner", Words),
    _column("digest", String),
    _column("mime", String),
    _column("width", Integer),
    _column("height", Integer),
    _column("size", BigInteger),
    _column("created", Double),
    _column("job", Id, ForeignKey("jobs.id"), null=True),
    _column("index", Integer),
    _column("prompt", Words, null=True),
    _column("seed", BigInteger, null=True),
    _column("parent", Id, null=True),  # no foreign key: the parent may be deleted while its child is drawn
    _column("favourite", Boolean),
    _column("about", _Json),
    _column("folded", Words, null=True),  # the prompt as the search compares it
)
Index("ix_pictures_owner", pictures.c.owner, pictures.c.id)
Index("ix_pictures_job", pictures.c.job, pictures.c.index)
Index("ix_pictures_parent", pictures.c.parent)
Index("ix_pictures_digest", pictures.c.digest)

collections = Table(
    "collections",
    metadata,
    _column("id", Id, key=True),
    _column("owner", Words),
    _column("name", Words),
    _column("created", Double),
    UniqueConstraint("owner", "name"),
)

collected = Table(
    "collected",
    metadata,
    _column("collection", Id, ForeignKey("collections.id", ondelete="CASCADE"), key=True),
    _column("picture", Id, ForeignKey("pictures.id", ondelete="CASCADE"), key=True),
)
Index("ix_collected_picture", collected.c.picture)

keys = Table(
    "keys",
    metadata,
    _column("id", Id, key=True),
    _column("name", Words),
    _column("hash", String),  # the secret's SHA-256: the secret itself is kept nowhere
    _column("prefix", String),
    _column("scopes", String),
    _column("created", Double),
    _column("expires", Double, null=True),
    _column("revoked", Double, null=True),
    _column("images_per_minute", Integer, null=True),
    _column("monthly_credits", Integer, null=True),
    _column("priority", Integer),
    _column("response_format", String, null=True),
    _column("last_used", Double, null=True),
    UniqueConstraint("hash"),
)
_not_revoked = keys.c.revoked.is_(None)
Index(
    "uq_keys_name", keys.c.name, unique=True, sqlite_where=_not_revoked, postgresql_where=_not_revoked
)  # of those that are in force

audit = Table(
    "audit",
    metadata,
    _column("id", Id, key=True),
    _column("created", Double),
    _column("action", Words),
    _column("owner", Words, null=True),
    _column("job", Id, null=True),
    _column("detail", _Json),
)
Index("ix_audit_action", audit.c.action, audit.c.id)
Index("ix_audit_created", audit.c.created)
