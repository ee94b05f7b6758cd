"""What of the store needs a person's attention. Pure: rows and the time in, alarms out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from poller.schedule import Deadlines
from shared.admission import TOO_LARGE
from shared.budget import BUDGET
from shared.lifecycle import TERMINAL, State
from shared.recovery import DECIDE
from shared.standing import Standing
from shared.store import Batch, Stray, Whose
from shared.store.budgets import Spending
from shared.store.health import Away

_AT_PROVIDER = frozenset({State.SUBMITTED, State.RUNNING})
_RESULTS_WANTED = frozenset({State.SUBMITTED, State.RUNNING, State.ENDED})

_FOR_MONEY = f"{BUDGET}: "
_UNKNOWN = frozenset({State.SUBMITTING, State.AMBIGUOUS})

_SET_ASIDE = frozenset({State.SEALED, State.HELD, State.SUBMITTING, State.ENDED, State.COLLECTED})
"""States in which a next check is set only after a fault; of those that are held, unless a person must decide."""


class Kind(StrEnum):
    """Why somebody should look."""

    ACCOUNT_PAUSED = "account-paused"
    DEPENDENCY_AWAY = "dependency-away"
    BUDGET = "budget"
    DECISION = "decision"
    """Nothing but a person's word ends it: `poller resolve`."""
    TOO_LARGE = "too-large"
    HELD_LONG = "held-long"
    CREATE_UNKNOWN = "create-unknown"
    OVERDUE = "overdue"
    MISSING = "missing"
    RESULTS_EXPIRING = "results-expiring"
    LOST = "lost"
    STRAY = "stray"
    PAST_DEADLINE = "past-deadline"
    CALLS_UNKNOWN = "calls-unknown"
    UNREADABLE = "unreadable"
    UNEXPECTED_RESULTS = "unexpected-results"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to look at."""

    kind: Kind
    subject: str
    """A batch key, an account, a dependency, or whose budget it is."""
    since: datetime | None
    message: str


@dataclass(frozen=True)
class Limits:
    """How long each thing may last before it is an alarm."""

    held: timedelta = timedelta(hours=6)
    create_unknown: timedelta = timedelta(minutes=30)
    before_deletion: timedelta = timedelta(days=5)
    """Before the provider deletes results that we do not have yet."""
    recent: timedelta = timedelta(days=1)
    """For how long a past oddity of a batch that is out is still shown."""
    deadlines: Deadlines = field(default_factory=Deadlines)


def alarms(
    batches: Iterable[Batch],
    pauses: Mapping[str, Standing],
    away: Iterable[Away],
    now: datetime,
    limits: Limits = Limits(),
    strays: Iterable[Stray] = (),
    budgets: Iterable[Spending] = (),
) -> list[Alarm]:
    """Every alarm, the general ones first."""
    found = [
        Alarm(Kind.ACCOUNT_PAUSED, account, None, f"{pause.reason}; {_next(pause)}")
        for account, pause in sorted(pauses.items())
    ]
    found += [Alarm(Kind.BUDGET, _whose(each), None, _of_budget(each)) for each in budgets if each.held_batches]
    found += [
        Alarm(Kind.DEPENDENCY_AWAY, word.dependency, word.away_since, f"{word.message} (says {word.holder})")
        for word in away
    ]
    found += [Alarm(Kind.STRAY, stray.batch_key, stray.found_at, _of_stray(stray)) for stray in strays]
    for batch in batches:
        found += _of_batch(batch, now, limits)
    return found


def _whose(spending: Spending) -> str:
    return spending.pipeline if spending.model is None else f"{spending.pipeline}, model {spending.model}"


def _of_budget(spending: Spending) -> str:
    used = f"${spending.spent_usd:,.4f} spent and ${spending.reserved_usd:,.4f} reserved of ${spending.limit_usd:,.4f}"
    return (
        f"{spending.held_batches:,} batches with {spending.held_records:,} records wait for the day to turn (UTC), or "
        f"for a higher limit: {used} on {spending.day}"
    )


def _of_stray(stray: Stray) -> str:
    name = stray.provider_batch_id
    if stray.whose is Whose.FOREIGN:
        return f"{name} was cancelled as a second batch of this key, and was another's: its workspace is not ours alone"
    if stray.whose is Whose.UNKNOWN:
        told = f"the provider has {name}, of its size and from the time when its create was unknown"
        if stray.settled_at is not None:
            return f"{told}; its results are gone: whose it was, nobody knows"
        return f"{told}; whose it is shows when it has ended (see --exclusive-workspaces)"
    told = f"the provider has a second batch, {name}, of this key: "
    if stray.settled_at is None:
        return told + ("it was cancelled; what it cost shows when it has ended" if stray.cancelled_at else "not ended")
    tokens = f"{stray.input_tokens:,} and {stray.output_tokens:,} tokens"
    cost = "no known price" if stray.cost_usd is None else f"${stray.cost_usd:,.4f}"
    return told + (f"it may have cost {cost}" if stray.is_estimate else f"it cost {cost} ({tokens})")


def _of_batch(batch: Batch, now: datetime, limits: Limits) -> Iterator[Alarm]:
    yield from _of_state(batch, now, limits)
    if batch.state in _AT_PROVIDER:
        yield from _at_provider(batch, now, limits)
    doomed = batch.results_expire_at
    if batch.state in _RESULTS_WANTED and doomed is not None and doomed - now <= limits.before_deletion:
        message = f"the provider deletes its results at {_time(doomed)}, and they are not collected"
        yield Alarm(Kind.RESULTS_EXPIRING, batch.batch_key, None, message)
    yield from _of_deadline(batch, now, limits)
    odd = batch.duplicate_lines + batch.unknown_lines + batch.malformed_lines
    if odd and now - batch.updated_at <= limits.recent:
        message = (
            f"its results held {batch.duplicate_lines} duplicate, {batch.unknown_lines} unknown and "
            f"{batch.malformed_lines} malformed lines"
        )
        yield Alarm(Kind.UNEXPECTED_RESULTS, batch.batch_key, batch.updated_at, message)
    odd = batch.duplicate_entries + batch.unknown_entries + batch.unreadable_answers
    if odd and now - batch.updated_at <= limits.recent:
        message = (
            f"of answers for several records {batch.unreadable_answers} could not be read; others held "
            f"{batch.duplicate_entries} entries for a record that had one, and {batch.unknown_entries} for none"
        )
        yield Alarm(Kind.UNEXPECTED_RESULTS, batch.batch_key, batch.updated_at, message)


def _of_deadline(batch: Batch, now: datetime, limits: Limits) -> Iterator[Alarm]:
    if batch.deadline_at is not None and now >= batch.deadline_at and batch.state not in TERMINAL:
        why = "its create's outcome is unknown, and till it is known nothing of it is asked again"
        rest = why if batch.state in _UNKNOWN else f"it is '{batch.state}'"
        message = f"{batch.in_flight:,} records should have been out at {_time(batch.deadline_at)}; {rest}"
        yield Alarm(Kind.PAST_DEADLINE, batch.batch_key, batch.deadline_at, message)
    if batch.unknown_calls and (batch.state not in TERMINAL or now - batch.updated_at <= limits.recent):
        message = (
            f"nobody saw the answers of {batch.unknown_calls:,} synchronous calls, which were made again: so many "
            "requests at most may have been paid for twice"
        )
        yield Alarm(Kind.CALLS_UNKNOWN, batch.batch_key, batch.updated_at, message)


def _of_state(batch: Batch, now: datetime, limits: Limits) -> Iterator[Alarm]:
    waiting = now - batch.sealed_at
    is_set_aside = batch.state in _SET_ASIDE and batch.error is not None and batch.next_check_at is not None
    if batch.state is State.HELD and (batch.held_reason or "").startswith(DECIDE):
        yield Alarm(Kind.DECISION, batch.batch_key, batch.sealed_at, batch.held_reason or "")
    elif is_set_aside:
        yield Alarm(Kind.UNREADABLE, batch.batch_key, batch.updated_at, batch.error or "")
    elif batch.state is State.HELD and (batch.held_reason or "").startswith(TOO_LARGE):
        yield Alarm(Kind.TOO_LARGE, batch.batch_key, batch.sealed_at, batch.held_reason or "")
    elif batch.state is State.HELD and waiting >= limits.held and not (batch.held_reason or "").startswith(_FOR_MONEY):
        yield Alarm(Kind.HELD_LONG, batch.batch_key, batch.sealed_at, batch.held_reason or "held without a reason")
    if batch.state is State.AMBIGUOUS and waiting >= limits.create_unknown:
        yield Alarm(
            Kind.CREATE_UNKNOWN, batch.batch_key, batch.sealed_at, batch.error or "its create is being looked up"
        )
    if batch.state is State.LOST:
        yield Alarm(Kind.LOST, batch.batch_key, batch.ended_at, batch.error or "the provider no longer knows it")


def _at_provider(batch: Batch, now: datetime, limits: Limits) -> Iterator[Alarm]:
    if batch.missing_since is not None:
        yield Alarm(Kind.MISSING, batch.batch_key, batch.missing_since, batch.error or "the provider answers 404")
        return
    if batch.remote_status is not None and batch.remote_since is not None:
        stuck_at = limits.deadlines.stuck_at(batch.remote_status, batch.remote_since, batch.expires_at)
        if now >= stuck_at:
            message = f"it has been '{batch.remote_status}' at the provider since {_time(batch.remote_since)}"
            yield Alarm(Kind.OVERDUE, batch.batch_key, batch.remote_since, message)
    if batch.error is not None:
        yield Alarm(Kind.UNREADABLE, batch.batch_key, batch.updated_at, batch.error)


def _next(pause: Standing) -> str:
    if pause.is_proving:
        return f"batch {pause.probe} was taken; the others follow when it has results, or at {_time(pause.until)}"
    return f"batch {pause.probe} asks" if pause.probe else f"one batch asks again at {_time(pause.until)}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
