"""An older copy of the store in the store's place, as after a restored backup; SQLite's."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path


def copied(store: Path, copy: Path) -> bool:
    """As `sqlite3 state.db '.backup copy.db'` does, beside the running processes; whether one let it."""
    with (
        closing(sqlite3.connect(store, timeout=1)) as source,
        closing(sqlite3.connect(copy)) as into,
        suppress(sqlite3.OperationalError),
    ):
        source.backup(into)
        return True
    return False


def put_back(copy: Path, store: Path) -> None:
    """Whoever restores a backup stops the processes first."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{store}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(copy, store)
