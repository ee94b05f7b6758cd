"""What a person sees of the store: the rows of its views, with the columns that deploy/README.md documents."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text

from shared.lifecycle import TERMINAL, State
from shared.store.batch_rows import batch_of
from shared.store.columns import utc
from shared.store.database import Database
from shared.store.tables import batches
from shared.store.values import Batch

Row = dict[str, Any]
"""Column → value; times are aware, in UTC."""


class Status:
    """Reads the views."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pipelines(self) -> list[Row]:
        """`pipeline_status`: a row for each pipeline, by name."""
        return self._rows("SELECT * FROM pipeline_status ORDER BY pipeline")

    def batches(self, *, finished: bool = False, limit: int = 1000) -> list[Row]:
        """`batch_status`: unfinished batches, oldest seal first; with `finished` all of them, newest first."""
        chosen = (
            "ORDER BY sealed_at DESC, batch_key"
            if finished
            else "WHERE state NOT IN ('published', 'failed') ORDER BY sealed_at, batch_key"
        )
        return self._rows(f"SELECT * FROM batch_status {chosen} LIMIT :limit", limit=limit)  # noqa: S608 - our own words

    def daily(self, days: int = 30) -> list[Row]:
        """`pipeline_daily`: the newest days that have batches, newest first."""
        newest = "SELECT DISTINCT day FROM pipeline_daily ORDER BY day DESC LIMIT :days"
        return self._rows(
            f"SELECT * FROM pipeline_daily WHERE day IN ({newest}) ORDER BY day DESC, pipeline",  # noqa: S608 - as above
            days=days,
        )

    def held(self) -> dict[str, tuple[int, int]]:
        """How many batches are held, and how many records they have, by account."""
        query = select(batches.c.account, func.count(), func.sum(batches.c.records))
        chosen = query.where(batches.c.state == str(State.HELD)).group_by(batches.c.account)
        with self._database.read() as connection:
            return {account: (count, int(records)) for account, count, records in connection.execute(chosen)}

    def duplicates(self, limit: int = 100) -> list[Row]:
        """`duplicates`: the second provider batches that are certainly ours, newest first."""
        return self._rows(
            "SELECT * FROM duplicates ORDER BY found_at DESC, provider_batch_id LIMIT :limit", limit=limit
        )

    def odd(self, since: datetime) -> list[Batch]:
        """Batches that are out since a moment, and had lines in their results, or calls, that nobody expected."""
        lines = (
            batches.c.duplicate_lines + batches.c.unknown_lines + batches.c.malformed_lines + batches.c.unknown_calls
        )
        lines += batches.c.duplicate_entries + batches.c.unknown_entries + batches.c.unreadable_answers
        out = batches.c.state.in_([str(state) for state in TERMINAL])
        query = select(batches).where(batches.c.updated_at >= since, lines > 0, out).order_by(batches.c.updated_at)
        with self._database.read() as connection:
            return [batch_of(row) for row in connection.execute(query)]

    def _rows(self, query: str, **parameters: int) -> list[Row]:
        with self._database.read() as connection:
            rows = connection.execute(text(query), parameters).mappings().all()
        return [{name: _value(name, value) for name, value in row.items()} for row in rows]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str | datetime) and name.endswith(("_at", "_until")):
        return utc(value)
    return value
