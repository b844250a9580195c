"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "001"
down_revision = None

_ID = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Make them all."""
    _jobs()
    _pictures()
    _collections()
    _keys()
    _audit()


def _column(name: str, type_: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=null)


def _jobs() -> None:
    op.create_table(
        "jobs",
        _column("id", _ID),
        _column("owner", sa.Text()),
        _column("task", sa.Text()),
        _column("request", _JSON),
        _column("n", sa.Integer()),
        _column("created", sa.Double()),
        _column("state", sa.String()),
        _column("priority", sa.Integer()),
        _column("attempts", sa.Integer()),
        _column("started", sa.Double(), null=True),
        _column("finished", sa.Double(), null=True),
        _column("error", _JSON, null=True),
        _column("detached", sa.Boolean()),
        _column("idempotency_key", sa.Text(), null=True),
        _column("body_hash", sa.Text(), null=True),
        _column("user", sa.Text(), null=True),
        _column("notes", _JSON),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "priority", "id"])
    op.create_index("ix_jobs_owner", "jobs", ["owner", "id"])
    op.create_index("ix_jobs_used", "jobs", ["owner", "created"])
    _index_where("idempotency_key IS NOT NULL", "uq_jobs_idempotency_key", "jobs", "owner", "idempotency_key")
    _index_where("body_hash IS NOT NULL", "ix_jobs_body_hash", "jobs", "owner", "body_hash", "created")


def _index_where(condition: str, name: str, table: str, *columns: str) -> None:
    """Index the rows that meet a condition; the name's prefix says whether they are unique."""
    where = sa.text(condition)
    unique = name.startswith("uq_")
    op.create_index(name, table, list(columns), unique=unique, sqlite_where=where, postgresql_where=where)


def _pictures() -> None:
    op.create_table(
        "pictures",
        _column("id", _ID),
        _column("owner", sa.Text()),
        _column("digest", sa.String()),
        _column("mime", sa.String()),
        _column("width", sa.Integer()),
        _column("height", sa.Integer()),
        _column("size", sa.BigInteger()),
        _column("created", sa.Double()),
        _column("job", _ID, null=True),
        _column("index", sa.Integer()),
        _column("prompt", sa.Text(), null=True),
        _column("seed", sa.BigInteger(), null=True),
        _column("parent", _ID, null=True),
        _column("favourite", sa.Boolean()),
        _column("about", _JSON),
        _column("folded", sa.Text(), null=True),
        sa.PrimaryKeyConstraint("id", name="pk_pictures"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_pictures_job"),
    )
    op.create_index("ix_pictures_owner", "pictures", ["owner", "id"])
    op.create_index("ix_pictures_job", "pictures", ["job", "index"])
    op.create_index("ix_pictures_parent", "pictures", ["parent"])
    op.create_index("ix_pictures_digest", "pictures", ["digest"])


def _collections() -> None:
    op.create_table(
        "collections",
        _column("id", _ID),
        _column("owner", sa.Text()),
        _column("name", sa.Text()),
        _column("created", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
        sa.UniqueConstraint("owner", "name", name="uq_collections_owner"),
    )
    op.create_table(
        "collected",
        _column("collection", _ID),
        _column("picture", _ID),
        sa.PrimaryKeyConstraint("collection", "picture", name="pk_collected"),
        sa.ForeignKeyConstraint(
            ["collection"], ["collections.id"], name="fk_collected_collection", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["picture"], ["pictures.id"], name="fk_collected_picture", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_collected_picture", "collected", ["picture"])


def _keys() -> None:
    op.create_table(
        "keys",
        _column("id", _ID),
        _column("name", sa.Text()),
        _column("hash", sa.String()),
        _column("prefix", sa.String()),
        _column("scopes", sa.String()),
        _column("created", sa.Double()),
        _column("expires", sa.Double(), null=True),
        _column("revoked", sa.Double(), null=True),
        _column("images_per_minute", sa.Integer(), null=True),
        _column("monthly_credits", sa.Integer(), null=True),
        _column("priority", sa.Integer()),
        _column("response_format", sa.String(), null=True),
        _column("last_used", sa.Double(), null=True),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    _index_where("revoked IS NULL", "uq_keys_name", "keys", "name")


def _audit() -> None:
    op.create_table(
        "audit",
        _column("id", _ID),
        _column("created", sa.Double()),
        _column("action", sa.Text()),
        _column("owner", sa.Text(), null=True),
        _column("job", _ID, null=True),
        _column("detail", _JSON),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_action", "audit", ["action", "id"])
    op.create_index("ix_audit_created", "audit", ["created"])
