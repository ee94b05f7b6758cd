"""Accounts at the providers: paused after a fault of their own, asked again by one batch, resumed by its fate."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from shared.lifecycle import Event, State
from shared.standing import REST, Standing
from shared.store.database import Database, insert_absent, serialise
from shared.store.tables import accounts, batches

REASON = "account: "
"""How the reason begins for which a batch is held for its account's sake."""
_FREE = {"paused": False, "paused_until": None, "reason": None, "probe": None, "is_proving": False}
_TOLD = frozenset({Event.HOLD, Event.ACCEPT, Event.ADOPT, Event.REJECT, Event.COLLECT})


class Accounts:
    """Pauses are the account's fault, never the data's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, account: str, fault: str, rest: timedelta = REST, *, by_results: bool = False) -> Standing:
        """Let an account rest. `by_results`: a create that is taken does not prove that the fault is mended."""
        with self._database.write() as connection:
            serialise(connection, f"account/{account}")
            now, known = self._database.clock(), standing_of(connection, account)
            standing = Standing(f"{REASON}{fault}", now + rest, rest, needs_results=by_results)
            standing = standing.faulted(known, now)
            row = _row(standing, now)
            if not insert_absent(connection, accounts, {"account": account, **row}):
                connection.execute(update(accounts).where(accounts.c.account == account).values(**row))
            return standing

    def ask(self, account: str, key: str) -> Standing | None:
        """Why batch `key` may not be sent now; None when it may. It may be the one that asks for all the others."""
        with self._database.write() as connection:
            serialise(connection, f"account/{account}")
            return ask(connection, self._database.clock(), account, key)

    def all_paused(self) -> dict[str, Standing]:
        """The pauses that are not over, by account."""
        now = self._database.clock()
        with self._database.read() as connection:
            rows = connection.execute(select(accounts).where(accounts.c.paused, accounts.c.paused_until > now)).all()
        return {row.account: _standing(row) for row in rows}


def standing_of(connection: Connection, account: str) -> Standing | None:
    """A paused account's standing; None when nothing is known against it."""
    row = connection.execute(select(accounts).where(accounts.c.account == account, accounts.c.paused)).one_or_none()
    return _standing(row) if row is not None else None


def ask(connection: Connection, now: datetime, account: str, key: str) -> Standing | None:
    """`Accounts.ask` within a transaction."""
    standing = standing_of(connection, account)
    if standing is None:
        return None
    if not standing.may_ask(key, now):
        return standing
    _set(connection, now, accounts.c.account == account, standing.asked(key, now))
    return None


def hear(connection: Connection, now: datetime, account: str, key: str, event: Event, until: datetime | None) -> None:
    """Learn from what became of the batch that asked. Costs one look where this is another batch."""
    if event not in _TOLD:
        return
    asked = (accounts.c.account == account) & (accounts.c.probe == key) & accounts.c.paused
    row = connection.execute(select(accounts).where(asked).with_for_update()).one_or_none()
    if row is None:
        return
    standing = _standing(row)
    if event is Event.HOLD:
        _set(connection, now, asked, standing.held(until or now, now))
    elif event is Event.COLLECT:
        _set(connection, now, asked, None)
    else:
        _set(connection, now, asked, standing.accepted(now))


def _set(connection: Connection, now: datetime, which: ColumnElement[bool], standing: Standing | None) -> None:
    account = connection.execute(select(accounts.c.account).where(which)).scalar_one()
    connection.execute(update(accounts).where(which).values(**_row(standing, now)))
    if standing is None:
        waiting = (batches.c.account == account) & (batches.c.state == str(State.HELD))
        waiting &= batches.c.held_reason.startswith(REASON, autoescape=True) & (batches.c.held_until > now)
        connection.execute(update(batches).where(waiting).values(held_until=now))


def _row(standing: Standing | None, now: datetime) -> dict[str, Any]:
    if standing is None:
        return {**_FREE, "updated_at": now}
    return {
        "paused": True,
        "paused_until": standing.until,
        "reason": standing.reason,
        "rest_seconds": standing.rest.total_seconds(),
        "probe": standing.probe,
        "needs_results": standing.needs_results,
        "is_proving": standing.is_proving,
        "updated_at": now,
    }


def _standing(row: Row[Any]) -> Standing:
    rest = timedelta(seconds=row.rest_seconds)
    return Standing(row.reason, row.paused_until, rest, row.probe, row.needs_results, row.is_proving)
