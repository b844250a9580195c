"""Alembic's migrations, which come with the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from unclip.errors import RequestError


def migrate(connection: Connection) -> None:
    """Bring the tables up to date, in the transaction that is open.

    Raises RequestError, to be read after the database's name, for a revision that this program does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if unknown := set(MigrationContext.configure(connection).get_current_heads()) - known:
        raise RequestError(f"was used by a newer unclip (revision {', '.join(unknown)}): upgrade this one")
    command.upgrade(config, "head")
