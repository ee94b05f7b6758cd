"""The status as a value with a schema version: what `poller status --json` prints, and what the table is drawn from."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from poller.alarms import Alarm, Kind, Limits, alarms
from shared.clock import Clock
from shared.lifecycle import TERMINAL, State
from shared.standing import Standing
from shared.store import Store
from shared.store.health import Away
from shared.telemetry import SECRETS

_LIMITS = Limits()
_MOST_BATCHES = 1000
_MOST_JUDGED = 100_000
_FORGOTTEN = timedelta(minutes=5)
"""After which the word of a process that no longer repeats it counts for nothing."""


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class Dependency(Shown):
    """A dependency that is away, as one process says it."""

    dependency: str
    holder: str
    away_since: datetime
    next_try_at: datetime | None
    message: str


class Account(Shown):
    """An account that is paused for a fault of its own."""

    account: str
    reason: str
    until: datetime
    """When the next batch asks; or, once the create of one was taken, when all others follow at the latest."""
    asking: str | None
    """The batch that asks for all."""
    held_batches: int
    held_records: int


class Budget(Shown):
    """What a day (UTC) of a pipeline, or of one of its models, may cost, and how this one stands; US dollars."""

    pipeline: str
    model: str | None
    """By its name in the file; None for the whole pipeline."""
    day: str
    limit_usd: float
    spent_usd: float
    reserved_usd: float
    """For batches whose cost is not known yet."""
    held_batches: int
    """That wait for the day to turn, or for a higher limit."""
    held_records: int


class Attention(Shown):
    """Something that a person should look at; `kind` is a word of a closed list."""

    kind: Kind
    subject: str
    since: datetime | None
    message: str


class Report(Shown):
    """The whole status. Fields may be added within a schema version; none changes its meaning or goes."""

    schema_version: Literal[1] = 1
    at: datetime
    healthy: bool
    """Nothing needs attention, and nothing is away."""
    accounts: list[Account]
    budgets: list[Budget]
    """Those for which batches are held first."""
    attention: list[Attention]
    dependencies: list[Dependency]
    pipelines: list[dict[str, Any]]
    """The rows of the view pipeline_status."""
    duplicates: list[dict[str, Any]]
    """The newest rows of the view duplicates."""
    batches: list[dict[str, Any]]
    """The unfinished batches as rows of the view batch_status: those that are held first, then by their seal."""
    batches_left_off: int
    """Unfinished batches beyond the first thousand."""


def report(store: Store, clock: Clock, limits: Limits = _LIMITS) -> Report:
    """The status of everything in the store. Raises StoreUnavailable."""
    now = clock()
    away = [word for word in store.health.all(now - timedelta(days=1)) if _is_fresh(word, now)]
    pauses, held = store.accounts.all_paused(), store.status.held()
    judged = store.batches.rows([state for state in State if state not in TERMINAL], _MOST_JUDGED)
    recent = store.status.odd(now - limits.recent)
    pipelines = store.status.pipelines()
    strays = store.strays.since(now - limits.recent)
    budgets = store.budgets.today()
    raised = alarms([*judged, *recent], pauses, away, now, limits, strays, budgets)
    shown = store.status.batches(limit=_MOST_BATCHES)
    unfinished = sum(row["batches"] - row["batches_published"] - row["batches_failed"] for row in pipelines)
    return Report(
        at=now,
        healthy=not raised,
        budgets=[Budget(**asdict(each)) for each in budgets],
        attention=[_attention(alarm) for alarm in raised],
        dependencies=[_dependency(word) for word in away],
        accounts=[_account(name, pause, *held.get(name, (0, 0))) for name, pause in sorted(pauses.items())],
        pipelines=pipelines,
        duplicates=store.status.duplicates(),
        batches=sorted((_redacted(row) for row in shown), key=lambda row: row["state"] != State.HELD),
        batches_left_off=max(unfinished - len(shown), 0),
    )


def _is_fresh(word: Away, now: datetime) -> bool:
    return max(word.updated_at, word.next_try_at or word.updated_at) + _FORGOTTEN >= now


def _attention(alarm: Alarm) -> Attention:
    return Attention(kind=alarm.kind, subject=alarm.subject, since=alarm.since, message=SECRETS.redact(alarm.message))


def _dependency(word: Away) -> Dependency:
    return Dependency(
        dependency=word.dependency,
        holder=word.holder,
        away_since=word.away_since,
        next_try_at=word.next_try_at,
        message=SECRETS.redact(word.message),
    )


def _account(name: str, pause: Standing, batches: int, records: int) -> Account:
    return Account(
        account=name,
        reason=SECRETS.redact(pause.reason),
        until=pause.until,
        asking=pause.probe,
        held_batches=batches,
        held_records=records,
    )


def _redacted(row: dict[str, Any]) -> dict[str, Any]:
    return {name: SECRETS.redact(value) if isinstance(value, str) else value for name, value in row.items()}
