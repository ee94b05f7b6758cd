"""Attempts to create a batch at the provider: the write-ahead intent, its resolution, and the look-ups in between."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, Row, func, insert, literal, select, update

from shared.errors import AccountBusy, StaleState
from shared.failpoints import MOVED, reached
from shared.lifecycle import Event, State
from shared.store import budget_rows
from shared.store.batch_rows import advance, locked
from shared.store.columns import UtcTime
from shared.store.creates import ADOPTED, ALLOWED, PROVEN, Attempt
from shared.store.database import Database, serialise
from shared.store.leases import hold
from shared.store.queue_rows import check
from shared.store.tables import attempts, batches
from shared.store.values import Batch, Changes, Fence

OUTCOME = {
    Event.ACCEPT: "accepted",
    Event.ADOPT: ADOPTED,
    Event.REJECT: "rejected",
    Event.HOLD: "not sent",
    Event.CLEAR: "absent",
    Event.LOSE: "lost",
    Event.GIVE_UP: "given up",
}
"""What each event that ends an attempt says of it. Event.DOUBT leaves it unresolved."""

_UNPROVEN = (State.SUBMITTED, State.RUNNING, State.ENDED)


class Attempts:
    """At most one attempt of a batch is unresolved; with `serial`, at most one of an account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def intend(
        self,
        key: str,
        lease: Fence,
        *,
        account: str,
        requests: int,
        bytes: int,  # noqa: A002 - the column's name
        input_file_id: str | None = None,
        serial: bool = False,
        per_hour: int | None = None,
    ) -> Attempt:
        """Commit the intent to create: a new attempt, and the batch in `submitting`; one transaction.

        `input_file_id` is the uploaded file that the create will name, where there is one.

        Raises AccountBusy when `serial` and an attempt of the account is unresolved; StaleState when one of the batch's
        own is; NoRoom when others have come into the provider's queue, or spent the day's money, since the batch was
        let in; LeaseLost; IllegalTransition.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            serialise(connection, f"account/{account}")
            # What waits for an operator's word is beyond its quarantine: it must not stop the account for days.
            held = select(batches.c.batch_key).where(batches.c.state == State.HELD)
            mine = _open() & (attempts.c.account == account) & attempts.c.batch_key.not_in(held)
            if serial and (open_ := _select(connection, mine)):
                raise AccountBusy(
                    f"the create of batch {open_[0].batch_key} (attempt {open_[0].attempt}) on account '{account}' is "
                    "unresolved, and this provider allows one at a time"
                )
            now, batch = self._database.clock(), locked(connection, key)
            check(connection, now, batch, per_hour)
            budget_rows.check(connection, now, batch)
            advance(connection, now, key, Event.INTEND, {})
            if _select(connection, _open() & (attempts.c.batch_key == key)):
                raise StaleState(f"the last create of batch {key} is still unknown: no other may follow it")
            last = select(func.max(attempts.c.attempt)).where(attempts.c.batch_key == key)
            number = (connection.execute(last).scalar() or 0) + 1
            values = {"account": account, "started_at": now, "requests": requests, "bytes": bytes}
            row = {"batch_key": key, "attempt": number, "input_file_id": input_file_id, **values}
            connection.execute(insert(attempts).values(**row))
            attempt = _select(connection, _this(key, number))[0]
        reached(MOVED[Event.INTEND])
        return attempt

    def remember(
        self,
        key: str,
        lease: Fence,
        made: Sequence[Attempt],
        event: Event,
        *,
        note: str | None = None,
        **changes: Unpack[Changes],
    ) -> Batch:
        """Insert attempts that an older copy of the store has forgotten, and move their batch by what came of the last.

        Event.DOUBT leaves it unresolved. Raises LeaseLost, IllegalTransition.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            now = self._database.clock()
            advance(connection, now, key, Event.INTEND, {})
            batch = advance(connection, now, key, event, changes)
            *past, last = made
            ended = replace(last, note=note, outcome=OUTCOME.get(event), resolved_at=now if event in OUTCOME else None)
            put_back(connection, [*past, replace(ended, provider_batch_id=batch.provider_batch_id)])
        reached(MOVED[event])
        return batch

    def record_lookup(self, key: str, attempt: int, lease: Fence, *, clean: bool) -> Attempt:
        """Count a look-up that found nothing. One that is not clean (an error, a cut list) restarts the quarantine."""
        now = self._database.clock()
        since = func.coalesce(attempts.c.clean_since, literal(now, UtcTime)) if clean else None
        more = {"lookups": attempts.c.lookups + 1, "last_lookup_at": now, "clean_since": since}
        return self._amend(key, attempt, lease, more)

    def allow_another(self, key: str, attempt: int, lease: Fence) -> Attempt:
        """An operator allows another attempt, once a look-up has been clean for a whole quarantine."""
        return self._amend(key, attempt, lease, {"note": ALLOWED})

    def resolve(
        self, key: str, attempt: int, lease: Fence, event: Event, *, note: str | None = None, **changes: Unpack[Changes]
    ) -> Batch:
        """End an attempt with the event that says how (a key of OUTCOME), in one transaction with the batch's move.

        Raises StaleState when it is resolved already; LeaseLost; IllegalTransition; each with nothing written.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            now = self._database.clock()
            batch = advance(connection, now, key, event, changes)
            outcome = {"outcome": OUTCOME[event], "resolved_at": now, "note": note}
            if event in (Event.ACCEPT, Event.ADOPT):
                outcome["provider_batch_id"] = batch.provider_batch_id
            _change(connection, key, attempt, outcome)
        reached(MOVED[event])
        return batch

    def disown(self, key: str, attempt: int, lease: Fence, *, note: str, may_be_ours: bool = False) -> Batch:
        """The adopted provider batch counts as another's: the attempt is unresolved again, and remembers it.

        Its quarantine begins anew. `may_be_ours`: nothing of it says whose it is.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            changes: Changes = {
                "provider_batch_id": None,
                "submitted_at": None,
                "ended_at": None,
                "remote_status": None,
                "missing_since": None,
            }
            batch = advance(connection, self._database.clock(), key, Event.DISOWN, changes)
            old = _select(connection, _this(key, attempt))[0]
            again = {"outcome": None, "resolved_at": None, "provider_batch_id": None, "clean_since": None, "note": note}
            disowned = [*old.disowned, *([old.provider_batch_id] if old.provider_batch_id else [])]
            kept = {"disowned": disowned, "may_have_run": old.may_have_run or may_be_ours}
            connection.execute(update(attempts).where(_this(key, attempt)).values(**again, **kept))
        reached(MOVED[Event.DISOWN])
        return batch

    def of(self, key: str) -> list[Attempt]:
        """A batch's attempts, the newest first."""
        with self._database.read() as connection:
            # Not by time: two machines may have made them, and their clocks differ.
            return sorted(_select(connection, attempts.c.batch_key == key), key=lambda each: -each.attempt)

    def open(self) -> list[Attempt]:
        """Every attempt whose outcome is unknown, oldest first."""
        with self._database.read() as connection:
            return _select(connection, _open())

    def names_file(self, account: str, file_id: str) -> bool:
        """Whether an attempt of an account names an uploaded file."""
        this = (attempts.c.account == account) & (attempts.c.input_file_id == file_id)
        with self._database.read() as connection:
            return connection.execute(select(attempts.c.attempt).where(this).limit(1)).first() is not None

    def on_trial(self, since: datetime) -> set[str]:
        """The provider batches that a look-up has adopted since then, and no results have proved yet."""
        adopted = (
            (attempts.c.outcome == OUTCOME[Event.ADOPT])
            & attempts.c.note.is_distinct_from(PROVEN)
            & (attempts.c.resolved_at >= since)
            & (batches.c.provider_batch_id == attempts.c.provider_batch_id)
            & batches.c.state.in_([str(state) for state in _UNPROVEN])
        )
        query = select(attempts.c.provider_batch_id).join(batches).where(adopted)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def given_up(self, since: datetime) -> list[Attempt]:
        """The attempts that a quarantine, or an operator, ended since a moment, by account.

        And those of their batches that a look-up ended: it may have found a former one's create, and its own may show.
        """
        ends = (OUTCOME[Event.CLEAR], OUTCOME[Event.LOSE], OUTCOME[Event.GIVE_UP])
        absent = attempts.c.outcome.in_(ends) & (attempts.c.resolved_at >= since)
        theirs = attempts.c.batch_key.in_(select(attempts.c.batch_key).where(absent))
        doubtful = absent | (theirs & (attempts.c.outcome == OUTCOME[Event.ADOPT]))
        query = select(attempts).where(doubtful).order_by(attempts.c.account, attempts.c.started_at)
        with self._database.read() as connection:
            return [_attempt(row) for row in connection.execute(query)]

    def _amend(self, key: str, attempt: int, lease: Fence, values: dict[str, Any]) -> Attempt:
        with self._database.write() as connection:
            hold(connection, lease)
            _change(connection, key, attempt, values)
            return _select(connection, _this(key, attempt))[0]


def put_back(connection: Connection, made: Sequence[Attempt]) -> None:
    """Insert attempts that a store has forgotten, as they are known from elsewhere."""
    if made:
        connection.execute(insert(attempts), [{**asdict(each), "disowned": list(each.disowned)} for each in made])


def _change(connection: Connection, key: str, attempt: int, values: dict[str, Any]) -> None:
    if connection.execute(update(attempts).where(_this(key, attempt) & _open()).values(**values)).rowcount != 1:
        raise StaleState(f"attempt {attempt} of batch {key} is absent or resolved already")


def _select(connection: Connection, chosen: ColumnElement[bool]) -> list[Attempt]:
    query = select(attempts).where(chosen).order_by(attempts.c.started_at, attempts.c.batch_key, attempts.c.attempt)
    return [_attempt(row) for row in connection.execute(query)]


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(**{**row._asdict(), "disowned": tuple(row.disowned)})


def _this(key: str, attempt: int) -> ColumnElement[bool]:
    return (attempts.c.batch_key == key) & (attempts.c.attempt == attempt)


def _open() -> ColumnElement[bool]:
    return attempts.c.outcome.is_(None)
