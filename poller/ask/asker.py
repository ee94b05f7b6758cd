"""Asks batches record by record at the synchronous endpoint: those of mode `sync`, a stretch at a time.

A batch is worked under its lease. What stops the calls (a rest that the provider asks for, a fault of the account)
holds the batch, with reason and time; it goes on where it was.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from poller.accounts import Keyless, pause_account
from poller.ask.calls import RequestLines
from poller.ask.ceiling import Ceiling
from poller.ask.journal import Journal
from poller.ask.roads import Roads
from poller.ask.stretch import Asking, Outcome, Stretch
from poller.duty import BUSY, FAULTS, WAITING, Counts, side_by_side
from poller.schedule import by_account
from shared.admission import Wait
from shared.clock import Clock
from shared.errors import IllegalTransition, LeaseLost, MissingCredential, StaleState, StoreUnavailable
from shared.failpoints import Failpoint, reached
from shared.lease import Keeper
from shared.lifecycle import Event, State
from shared.manifest import Manifest
from shared.providers.port import Provider
from shared.providers.prices import cost_of
from shared.spool import DECISION, REQUESTS, Spool
from shared.store import Batch, Lease, Store
from shared.store.values import Changes
from shared.telemetry import SECRETS, Action, log

ASKED = (State.SEALED, State.HELD, State.RUNNING)
_MOST = 200
_ACCOUNTS = 4
_REST = timedelta(minutes=1)


@dataclass(frozen=True)
class Pass:
    """How long one pass asks: a daemon comes back at once, a single pass leaves the rest to the next one."""

    stretch: float = 60.0
    """Seconds for one batch."""
    budget: float | None = None
    """Seconds for all; None: no limit."""
    asking: Asking = field(default_factory=Asking)
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends it: nothing more is asked, and what is under way is waited for."""


PASS = Pass()


class Asker:
    """The duty `ask`."""

    name = "ask"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        provider_of: Callable[[Batch], Provider],
        keeper: Keeper,
        roads: Roads,
        keyless: Keyless,
        clock: Clock,
        how: Pass,
    ) -> None:
        self._store, self._spool, self._provider_of, self._keeper = store, spool, provider_of, keeper
        self._roads, self._paces, self._keyless, self._clock, self._how = roads, roads.paces, keyless, clock, how
        self._end = None if how.budget is None else time.monotonic() + how.budget
        self._journals: dict[str, Journal] = {}

    def run_once(self) -> Counts:
        """A stretch for the oldest batch of each account, and for the next as it is done. Raises StoreUnavailable."""
        if self._seconds() <= 0:
            return {}
        due = by_account(
            self._store.batches.due(ASKED, self._clock(), _MOST, mode="sync", but_not=self._keyless.accounts())
        )
        if not due:
            return {}
        self._spool.files.reach()
        return side_by_side(self.name, _ACCOUNTS, due.values(), self._account)

    def _seconds(self) -> float:
        """What is left of this pass for one stretch."""
        left = self._how.stretch if self._end is None else self._end - time.monotonic()
        return 0.0 if self._how.stop.is_set() else min(left, self._how.stretch)

    def _account(self, batches: Sequence[Batch]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in batches:
            if self._seconds() <= 0:
                break
            with self._keeper.hold(f"batch/{batch.batch_key}") as lease:
                count = self._isolated(batch.batch_key, lease) if lease else BUSY
            counts[count] += 1
            if count == WAITING:
                # One batch of an account at a time, the oldest first.
                break
        return counts

    def _isolated(self, key: str, lease: Lease) -> str:
        """One batch's turn, with every fault kept to it; gives the count that it falls under."""
        batch = self._store.batches.get(key)
        if batch is None or batch.state not in ASKED or batch.mode != "sync":
            return BUSY
        try:
            return self._turn(batch, lease)
        except StoreUnavailable:
            raise
        except (LeaseLost, StaleState, IllegalTransition):
            self._journals.pop(key, None)
            return BUSY
        except MissingCredential as error:
            self._keyless.note(error)
            return WAITING
        except Exception as error:  # noqa: BLE001 one poisoned batch is isolated
            self._journals.pop(key, None)
            log(Action.BATCH_FAULT, logging.ERROR, batch=key, message=f"{type(error).__name__}: {error}")
            told = SECRETS.redact(f"it can't be asked: {str(error) or type(error).__name__}")[:1000]
            # It may have been begun meanwhile.
            return self._wait(self._store.batches.get(key) or batch, lease, told, self._clock() + _REST, FAULTS)

    def _turn(self, batch: Batch, lease: Lease) -> str:
        if batch.attempt_folder:
            self._spool.settle(batch.attempt_folder, batch.pipeline, batch.statement, batch.batch_key)
        manifest = self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key)
        if batch.requests == 0:
            self._store.batches.apply(batch.batch_key, Event.NOTHING_TO_SEND, lease=lease)
            return "asked"
        if self._is_decided(batch):
            return self._over(batch, lease)
        shared = self._roads.shared_ceiling(batch, manifest.definition)
        # What a stretch spends shows when it has ended: one batch at a time of those that share a ceiling.
        with self._keeper.hold(f"ask/{shared}") if shared else nullcontext(lease) as alone:
            return self._ask(batch, manifest, lease) if alone else BUSY

    def _ask(self, batch: Batch, manifest: Manifest, lease: Lease) -> str:
        provider = self._provider_of(batch)
        provider.connect()
        paused = self._store.accounts.ask(batch.account, batch.batch_key)
        if paused is not None:
            return self._wait(batch, lease, paused.reason, paused.until)
        if batch.state is not State.RUNNING:
            batch = self._begin(batch, lease)
        journal = self._journal(batch)
        began = time.monotonic()
        outcome = self._stretch(batch, manifest, provider, journal, lease)
        self._paces.measured(batch.account, batch.model, outcome.answers, time.monotonic() - began)
        return self._settle(batch, manifest, journal, outcome, lease)

    def _is_decided(self, batch: Batch) -> bool:
        """Whether its results were decided on, as an older copy of the store has forgotten; its data may be deleted."""
        folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
        return self._spool.files.size(f"{folder}/{DECISION}") is not None

    def _over(self, batch: Batch, lease: Lease) -> str:
        """Nothing more is asked: the decision is followed."""
        if batch.state is not State.RUNNING:
            batch = self._begin(batch, lease)
        self._store.batches.apply(batch.batch_key, Event.END, lease=lease, expected=State.RUNNING, next_check_at=None)
        return "asked"

    def _begin(self, batch: Batch, lease: Lease) -> Batch:
        begun = Changes(submitted_at=batch.submitted_at or self._clock(), error=None)
        return self._store.batches.apply(batch.batch_key, Event.ASK, lease=lease, **begun)

    def _journal(self, batch: Batch) -> Journal:
        """Read once, while nobody else asks this batch."""
        known = self._journals.get(batch.batch_key)
        if known is None or not _is_told(batch, known):
            folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
            known = self._journals[batch.batch_key] = Journal(self._spool.files, folder, batch.requests)
        return known

    def _stretch(self, batch: Batch, manifest: Manifest, provider: Provider, journal: Journal, lease: Lease) -> Outcome:
        if journal.tally.ended is not None:
            return Outcome(journal.tally.ended)
        ceiling = self._roads.ceiling(batch, manifest.definition)
        tally, pace = journal.tally, self._paces.of(batch.account, batch.model)
        if ceiling.limit is not None:
            ceiling.spent += ceiling.price(tally.input_tokens, tally.output_tokens) or 0.0
        most = manifest.definition.batch.fallback_max_concurrency
        requests = f"{self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)}/{REQUESTS}"
        with ExitStack() as open_:
            lines = open_.enter_context(RequestLines(open_.enter_context(self._spool.files.local(requests))))
            if not _is_told(batch, journal):
                # Whoever asked before did not live to say what it cost.
                self._store.batches.record(batch.batch_key, lease=lease, **_so_far(batch, manifest, journal))
            waits = self._reserve(batch, journal, lines, ceiling, lease)
            if waits is not None:
                return Outcome("budget", until=waits.until, reason=waits.reason)
            stretch = Stretch(journal, lines, provider, pace, ceiling, most, self._clock, self._how.asking)
            return stretch.run(self._seconds(), self._how.stop)

    def _reserve(
        self, batch: Batch, journal: Journal, lines: RequestLines, ceiling: Ceiling, lease: Lease
    ) -> Wait | None:
        """Reserve of the day what is left to ask may cost, or as much as there is; why nothing is asked, if so."""
        if self._store.budgets.of(batch.pipeline, batch.statement) is None:
            return None
        costs = [
            ceiling.estimate(lines.size(request)) for request, known in enumerate(journal.tally.answered) if not known
        ]
        known = [cost for cost in costs if cost is not None]
        want = sum(known) if len(known) == len(costs) else None
        # Nothing is left to ask where it is only to be closed.
        grant = self._store.budgets.grant(batch.batch_key, lease, want, max(known, default=0.0))
        reached(Failpoint.MONEY_GRANTED)
        ceiling.granted = grant.usd
        return grant.wait

    def _settle(self, batch: Batch, manifest: Manifest, journal: Journal, outcome: Outcome, lease: Lease) -> str:
        key, tally, so_far = batch.batch_key, journal.tally, _so_far(batch, manifest, journal)
        if outcome.end in ("done", "ceiling"):
            del self._journals[key]
            so_far |= Changes(next_check_at=None)
            self._store.batches.apply(key, Event.END, lease=lease, expected=State.RUNNING, **so_far)
            log(Action.BATCH_ENDED, batch=key, status=outcome.end, unknown_calls=len(tally.unknown) or None)
            return "asked"
        self._store.batches.record(key, lease=lease, **so_far)
        reached(Failpoint.CALLS_COUNTED)
        if outcome.end == "account":
            paused = pause_account(self._store, batch.account, outcome.reason)
            return self._wait(batch, lease, paused.reason, paused.until)
        if outcome.end == "budget" and outcome.until is not None:
            return self._wait(batch, lease, outcome.reason, outcome.until)
        if outcome.end == "resting" and outcome.until is not None:
            return self._wait(batch, lease, f"the provider gives no answer: {outcome.reason}", outcome.until)
        return WAITING

    def _wait(self, batch: Batch, lease: Lease, reason: str, until: datetime, count: str = WAITING) -> str:
        """Hold a batch: its records wait, and whoever looks at the status sees why."""
        event = Event.BOUNCE if batch.state is State.RUNNING else Event.HOLD
        reason = SECRETS.redact(reason)
        try:
            self._store.batches.apply(
                batch.batch_key, event, lease=lease, expected=batch.state, held_reason=reason, held_until=until
            )
        except (LeaseLost, StaleState):
            return BUSY
        return count


def _is_told(batch: Batch, journal: Journal) -> bool:
    """Whether the store knows what the answers have cost, and they are all that it knows of."""
    return (journal.tally.input_tokens, journal.tally.output_tokens) == (batch.input_tokens, batch.output_tokens)


def _so_far(batch: Batch, manifest: Manifest, journal: Journal) -> Changes:
    """What the answers that came have cost, as columns; never less than the store knows: what was spent is gone."""
    tally = journal.tally
    used, made = max(tally.input_tokens, batch.input_tokens), max(tally.output_tokens, batch.output_tokens)
    price = cost_of(manifest.definition.model, used, made)
    so_far = Changes(unknown_calls=len(tally.unknown), input_tokens=used, output_tokens=made)
    if price is not None:
        so_far |= Changes(cost_usd=price.sync_usd, sync_cost_usd=price.sync_usd)
    return so_far
