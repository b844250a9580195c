"""The tables: what migrations make of an empty database is what the code describes, and text of any kind."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sample_records import a_job, a_picture
from sqlalchemy import Engine, MetaData, inspect

from unclip.records.database import writing
from unclip.records.jobs import Jobs
from unclip.records.pictures import Gallery
from unclip.records.tables import metadata


def described(engine: Engine) -> dict[str, Any]:
    """All that the database tells of its tables."""
    seen = inspect(engine)

    def index(found: Any) -> dict[str, Any]:
        return {
            **found,
            "dialect_options": {name: str(value) for name, value in found["dialect_options"].items()},
        }

    def of(table: str) -> list[Any]:
        return [
            [{**column, "type": repr(column["type"])} for column in seen.get_columns(table)],
            seen.get_pk_constraint(table),
            sorted(seen.get_foreign_keys(table), key=str),
            sorted(seen.get_unique_constraints(table), key=str),
            sorted(map(index, seen.get_indexes(table)), key=str),
        ]

    return {table: of(table) for table in seen.get_table_names() if table != "alembic_version"}


def test_alembic_finds_nothing_left_to_migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    lacking = MetaData()
    for table in metadata.tables.values():
        if table.name != "collected":
            table.to_metadata(lacking)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), lacking) != []


def test_migrated_tables_are_those_that_the_code_would_create(engine: Engine) -> None:
    migrated = described(engine)
    assert migrated.keys() == metadata.tables.keys()
    with writing(engine) as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert described(engine) == migrated


@pytest.mark.parametrize(
    ("given", "kept"),  # as text; JSON keeps all, but for pairs of surrogates that are one character
    [
        ("ein Bär \U0001f43b", "ein Bär \U0001f43b"),
        ("a\0b", "a\ufffdb"),
        ("half \ud83d", "half \ufffd"),
        ("\ud83d\udc3b", "\U0001f43b"),
        ("100% of_it \\ 'quoted'", "100% of_it \\ 'quoted'"),
    ],
)
def test_text_of_any_kind_is_kept(engine: Engine, given: str, kept: str) -> None:
    job = Jobs(engine).add(a_job(user=given, request={"prompt": given}))
    found = Jobs(engine).get(job.id)
    assert found is not None
    assert found.user == kept
    assert found.request == {"prompt": kept if given == "\ud83d\udc3b" else given}
    picture = a_picture(prompt=given)
    Gallery(engine).add(picture)
    assert [other.prompt for other in Gallery(engine).list("alice", search=given)] == [kept]
    assert Jobs(engine).get(given) is None
