"""The state store restored from an older copy, as an operator does after a loss; SQLite's."""

import sqlite3
from contextlib import closing
from pathlib import Path

from shared.store import Store
from tests.rig.stage import Stage


def copied(stage: Stage) -> Path:
    """A copy of the store as it stands."""
    copy = stage.folder / "older.db"
    with closing(sqlite3.connect(stage.folder / "state.db")) as live, closing(sqlite3.connect(copy)) as into:
        live.backup(into)
    return copy


def restore(stage: Stage, copy: Path) -> None:
    """Put a copy in the store's place."""
    stage.store.close()
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (stage.folder / name).unlink(missing_ok=True)
    copy.rename(stage.folder / "state.db")
    stage.store = Store.open(stage.store_url, stage.clock)
