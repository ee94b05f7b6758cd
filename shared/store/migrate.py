"""Bring a store's schema to this version's, once, however many processes start at the same moment."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from shared.errors import SettingsError, StoreUnavailable
from shared.store.address import PATIENCE, no_store, shown
from shared.store.database import Database, serialise

HEAD = "0016"
"""The newest revision in migrations/versions."""
SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database, *, create: bool = True) -> None:
    """Run the revisions that the store lacks, in one transaction that excludes every other one that migrates.

    Raises SettingsError when the store was written by a newer version, or is empty and may not be created;
    StoreUnavailable when it is away.
    """
    with database.read() as connection:
        found = revision(connection)
        if found == HEAD:
            return
    if found is None and not create:
        raise no_store(database.engine.url)
    _use_wal(database)
    with database.write() as connection:
        serialise(connection, "batchline/migrate")
        if revision(connection) != HEAD:
            _upgrade(connection)


def revision(connection: Connection) -> str | None:
    """The store's revision; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _use_wal(database: Database) -> None:
    """Readers never wait for the writer. The file remembers it, so that it is set once, before the first table."""
    if database.engine.dialect.name != "sqlite":
        return
    # While another process makes the same switch SQLite says "locked" at once, whatever its patience.
    busy = retry_if_exception_type(StoreUnavailable)
    for attempt in Retrying(retry=busy, wait=wait_random(0.01, 0.1), stop=stop_after_delay(PATIENCE), reraise=True):
        with attempt, database.outside() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def _upgrade(connection: Connection) -> None:
    # Alembic costs megabytes of memory that a store at its newest revision can do without.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SettingsError(
            f"the state store {shown(connection.engine.url)} has a schema that this version of batchline does not know "
            f"({revision(connection)}); install the version that wrote it, or a newer one"
        ) from error
