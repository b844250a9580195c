"""What Alembic runs to bring tables up to date, on the connection that it is handed."""

from alembic import context

from unclip.records.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
