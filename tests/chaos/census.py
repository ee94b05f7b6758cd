"""How far a run has come, by its store. It decides only when to stop and ask the oracle, never what is right."""

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

import psycopg

_QUESTION = """SELECT (SELECT count(*) FROM sealed_files), count(*),
    coalesce(sum(CASE WHEN state IN ('published', 'failed') THEN 0 ELSE 1 END), 0), max(updated_at),
    coalesce(sum(CASE WHEN state IN ('published', 'failed') OR held_until > '{soon}' OR next_check_at > '{soon}'
    THEN 0 ELSE 1 END), 0) FROM batches"""


@dataclass(frozen=True)
class Count:
    """What stands in the store."""

    planned: int
    """Files."""
    batches: int
    open: int
    """Batches that are neither published nor failed."""
    moved_at: object = None
    """When a batch was written last."""
    due: int = 0
    """Batches that somebody has to work on by a moment."""


class Census:
    """Asks the store afresh each time: a step may have put another file in its place."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._postgres: psycopg.Connection[Any] | None = None
        self.last: Count | None = None
        """What was counted last."""

    def count(self, soon: datetime) -> Count | None:
        """What stands in the store, and is due by a moment; None while the store does not answer."""
        with suppress(sqlite3.Error, psycopg.Error):
            (row,) = self.ask(_QUESTION.format(soon=f"{soon:%Y-%m-%dT%H:%M:%S.%fZ}"))
            self.last = Count(*row)
            return self.last
        return None

    def number(self, question: str) -> float:
        """What a query counts; without an end while the store does not answer."""
        with suppress(sqlite3.Error, psycopg.Error):
            return float(self.ask(question)[0][0])
        return inf

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises what the driver raises."""
        if self._store.startswith("sqlite"):
            file = self._store.removeprefix("sqlite:///")
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as connection:
                return connection.execute(question).fetchall()
        if self._postgres is None or self._postgres.closed:
            self._postgres = psycopg.connect(self._store.replace("+psycopg", ""), autocommit=True, connect_timeout=2)
        try:
            return self._postgres.execute(question.encode()).fetchall()
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._postgres is not None:
            self._postgres.close()
            self._postgres = None
