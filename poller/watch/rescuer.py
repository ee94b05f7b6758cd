"""Works batches that nobody works on: planned, held, or with a create whose outcome is open. Flink need not live."""

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from poller.accounts import Keyless
from poller.duty import BUSY, CHECKED, FAULTS, WAITING, Counts
from shared.clock import Clock
from shared.errors import UNREACHED, BatchlineError, LeaseLost, MissingCredential, StaleState, StoreUnavailable
from shared.lifecycle import SUBMITTABLE, State
from shared.store import Batch, Store
from shared.telemetry import Action, log

_MOST = 200
_AT_ONCE = 4
"""Uploads beside each other."""
_REST = timedelta(minutes=1)


class Rescuer:
    """The duty `rescue`."""

    name = "rescue"

    def __init__(self, store: Store, work: Callable[[str], Batch | None], clock: Clock, keyless: Keyless) -> None:
        """`work` takes a batch one step towards `submitted`; None when somebody else does."""
        self._store, self._work, self._clock, self._keyless = store, work, clock, keyless

    def run_once(self) -> Counts:
        """One step for each batch that is due. Raises StoreUnavailable."""
        due = self._store.batches.due(SUBMITTABLE, self._clock(), _MOST, mode="batch", but_not=self._keyless.accounts())
        if not due:
            return {}
        with ThreadPoolExecutor(min(_AT_ONCE, len(due)), thread_name_prefix="rescue") as pool:
            return Counter(pool.map(self._step, due))

    def _step(self, batch: Batch) -> str:
        try:
            after = self._work(batch.batch_key)
        except StoreUnavailable:
            raise
        except (LeaseLost, StaleState):
            return BUSY
        except MissingCredential as error:
            self._keyless.note(error)
            return WAITING
        except Exception as error:  # noqa: BLE001 one poisoned batch is isolated
            message = str(error) if isinstance(error, BatchlineError) else f"{type(error).__name__}: {error}"
            return self._set_aside(batch, message)
        if after is None:
            return BUSY
        self._tell(after)
        return self._said(after)

    @staticmethod
    def _said(batch: Batch) -> str:
        if batch.state in SUBMITTABLE:
            return WAITING if batch.state is State.HELD else CHECKED
        if batch.state is State.LOST:
            return "lost"
        log(Action.BATCH_RESCUED, batch=batch.batch_key, state=batch.state, provider_batch=batch.provider_batch_id)
        return "rescued"

    def _tell(self, batch: Batch) -> None:
        """Whether the provider can be reached at all, as the watcher tells of its looks."""
        dependency, reason = f"provider {batch.account}", batch.held_reason or ""
        if batch.state is State.HELD and reason.startswith(UNREACHED):
            self._keyless.watchdog.away(dependency, reason, batch.held_until)
        elif batch.state not in SUBMITTABLE:
            self._keyless.watchdog.back(dependency)

    def _set_aside(self, batch: Batch, message: str) -> str:
        """What failed in a way that nobody foresaw is tried again later, and shown until then."""
        log(Action.BATCH_FAULT, logging.ERROR, batch=batch.batch_key, message=message)
        try:
            self._store.batches.record(batch.batch_key, error=message[:1000], next_check_at=self._clock() + _REST)
        except StaleState:
            return BUSY
        return FAULTS
