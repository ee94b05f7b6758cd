"""Which addresses a state store may have, and how its engine is made: SQLite, or PostgreSQL with psycopg."""

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from shared.errors import SettingsError, StoreUnavailable

BEGIN = "batchline_begin"
"""The execution option that says how SQLite begins a connection's transaction; None: not at all."""
PATIENCE = 30
"""Seconds that a statement waits for another's lock before the store counts as unavailable."""
NETWORK_MOUNTS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "fuse.sshfs"})


def parse(url: str) -> URL:
    """A state store's address. Raises SettingsError, which never shows a password, for one that can't be used."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(f"the state store's address can't be read; {_FORMS}") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:" or parsed.query:
            raise SettingsError(f"the state store must be a file, not '{shown(parsed)}'; {_FORMS}")
        return parsed.set(drivername="sqlite+pysqlite")
    if backend == "postgresql":
        if find_spec("psycopg") is None:
            raise SettingsError("a state store on PostgreSQL needs psycopg: pip install 'batchline[postgres]'")
        return parsed.set(drivername="postgresql+psycopg")
    raise SettingsError(f"the state store can't be on '{backend}'; {_FORMS}")


def shown(url: URL) -> str:
    """An address without password and options, for messages."""
    return url.set(query={}).render_as_string(hide_password=True)


def refuse_missing(url: URL) -> None:
    """Raise SettingsError for a file that is not there, before anything makes it."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise no_store(url)


def no_store(url: URL) -> SettingsError:
    return SettingsError(
        f"there is no state store at {shown(url)}: give the address that `submitter run` and `poller run` use, which "
        "create it"
    )


def engine_for(url: URL) -> Engine:
    """The engine of a parsed address; it connects when it is first used."""
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)


def mount_type(path: Path, mounts: str) -> str:
    """The type of the file system that holds an absolute path, from the text of /proc/mounts; '' when unknown."""
    best, found = "", ""
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, found = point, kind
    return found


def _sqlite(url: URL) -> Engine:
    _place(Path(url.database or "").absolute())
    engine = create_engine(url, connect_args={"timeout": PATIENCE}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _place(file: Path) -> None:
    """Make the file's folder, and the file itself for its owner's eyes only."""
    mounts = Path("/proc/mounts")
    if mounts.exists() and (kind := mount_type(file, mounts.read_text(encoding="utf-8"))) in NETWORK_MOUNTS:
        raise SettingsError(
            f"the state store {file} is on a network mount ({kind}), where SQLite's locks fail; use a "
            "local disk, or PostgreSQL"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Only a new file may be opened here: closing any handle of a file ends all locks that this process has on it
        # (POSIX), those of its other SQLite connections too, and the database is corrupted.
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"the state store {file} can't be opened: {error.strerror}") from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGINs are deferred, and it hides DDL from transactions: transactions are begun below instead.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # An intent must survive a power cut; WAL alone would allow to lose the last commits.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    statement = connection.get_execution_options().get(BEGIN, "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)


def _postgresql(url: URL) -> Engine:
    how = {
        "connect_timeout": 10,
        "application_name": "batchline",
        "keepalives_idle": 30,
        "tcp_user_timeout": PATIENCE * 1000,
        "options": f"-c lock_timeout={PATIENCE}s -c timezone=UTC",
    }
    return create_engine(
        url,
        connect_args={name: value for name, value in how.items() if name not in url.query},
        # Whatever the database's own default: who has waited for a lock must see what its holder has committed.
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        hide_parameters=True,
    )


_FORMS = "give sqlite:////path/to/state.db or postgresql+psycopg://user@host/database"
