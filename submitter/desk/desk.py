"""What happens beside the submit operator: list finished files, plan them, submit batches, each on threads.

All of it is durable in store and spool, so that a thread may die anywhere and another begin again.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial
from typing import Protocol

from shared.clock import Clock, system_clock
from shared.errors import MissingCredential, SettingsError, SpoolAway, StoreUnavailable
from shared.lease import is_dead
from shared.lifecycle import SUBMITTABLE
from shared.messages import BatchEvent
from shared.spool import SealedFile, Spool
from shared.store import Batch, Store
from shared.telemetry import Action, log, raised_at
from submitter.desk.errand import Errand
from submitter.desk.patience import Patience

ROUND_SECONDS = 0.5
CLOSE_SECONDS = 20.0
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Hands(Protocol):
    """Who does the work that the desk hands out."""

    def plan(self, pipeline: str, statement: str, file: SealedFile) -> list[str]:
        """Plan one file; the new batches' keys."""
        ...

    def submit(self, key: str) -> None:
        """Bring one batch as far towards `submitted` as it will go now."""
        ...


HireHands = Callable[[Errand, Store, Spool], Hands]
Confirms = Callable[[float], bool]
"""Whether the inputs' topics were the same as ever at this moment of `time.monotonic`, or later."""


class Desk:
    """Works until it is closed, its run is over, or a newer run has begun."""

    def __init__(
        self,
        errand: Errand,
        hire: HireHands,
        clock: Clock = system_clock,
        *,
        pace: float = ROUND_SECONDS,
        confirms: Confirms = lambda _moment: True,
    ) -> None:
        self._errand, self._hire, self._clock, self._pace, self._confirms = errand, hire, clock, pace, confirms
        self._stop = threading.Event()
        self._planner = ThreadPoolExecutor(1, "plan")
        self._submitters = ThreadPoolExecutor(errand.threads, "submit")
        self._under_way: dict[str, Future[None]] = {}
        self._planned: set[str] = set()
        self._seen: dict[str, float] = {}
        """When each file without a plan was first listed: what is in it was read before."""
        self._events: dict[str, dict[str, str]] = {}
        self._patience = Patience(clock)
        self._keyless: set[str] = set()
        self.over: str | None = None
        """Why a run that began by itself has to end."""
        self._look_at = clock()
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    def announcements(self, statement: str) -> Mapping[str, str] | None:
        return self._events.get(statement)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)
        for pool in (self._planner, self._submitters):
            pool.shutdown(wait=False, cancel_futures=True)
        wait([*self._under_way.values()], CLOSE_SECONDS)

    def _work(self) -> None:
        spool, away = Spool(self._errand.spool), ""
        while not self._stop.is_set():
            was_away, away = away, ""
            try:
                with Store.open(resolve(self._errand.state_store, os.environ), self._clock) as store:
                    store.leases.bury(is_dead)
                    self._rounds(store, spool, self._hire(self._errand, store, spool))
                    wait([*self._under_way.values()], CLOSE_SECONDS)
                    self._stop.set()
            except (StoreUnavailable, SpoolAway) as error:
                away = "spool" if isinstance(error, SpoolAway) else "store"
                if away != was_away:
                    log(Action.DEPENDENCY_AWAY, logging.WARNING, dependency=away, message=str(error))
            except Exception as error:  # noqa: BLE001 - it starts again
                message = f"{type(error).__name__}: {error}"
                log(Action.DESK_FAILED, logging.ERROR, message=message, at=raised_at(error))
            self._stop.wait(self._pace * 4)

    def _rounds(self, store: Store, spool: Spool, hands: Hands) -> None:
        errand = self._errand
        epoch = self._epoch(store, spool)
        while not self._stop.is_set():
            if not store.lineage.is_current(errand.pipeline, epoch):
                said = f"run {epoch} of {errand.pipeline} is over, or no longer the newest: nothing more is begun"
                log(Action.RUN_OVER, logging.WARNING, message=said)
                self.over = said if errand.opening else None
                return
            if self._clock() >= self._look_at:
                for statement in errand.statements:
                    self._plan_new(statement, store, spool, hands)
                self._look_at = self._clock() + timedelta(seconds=spool.files.listing_pace)
            self._submit_due(store, hands)
            for statement in errand.statements:
                self._refresh(statement, store)
            self._under_way = {name: future for name, future in self._under_way.items() if not future.done()}
            self._stop.wait(self._pace)

    def _epoch(self, store: Store, spool: Spool) -> int:
        errand = self._errand
        if errand.opening is None:
            return errand.epoch
        # Kafka's client, which nobody else needs here, costs memory.
        from submitter.desk.opening import begin

        return begin(errand.opening, store, spool, errand.pipeline)

    def _plan_new(self, statement: str, store: Store, spool: Spool, hands: Hands) -> None:
        files = spool.sealed_files(self._errand.pipeline, statement)
        now = time.monotonic()
        for file in files:
            if file.address in self._planned or not self._free(file.address):
                continue
            if store.plans.is_planned(file.address):
                self._planned.add(file.address)
                self._seen.pop(file.address, None)
                continue
            # Else it may hold records of another topic, which its definition does not know: it stays, unplanned.
            if self._confirms(self._seen.setdefault(file.address, now)):
                self._hand_out(self._planner, file.address, partial(self._plan, statement, file, hands))
        self._planned &= {file.address for file in files}

    def _plan(self, statement: str, file: SealedFile, hands: Hands) -> None:
        for key in hands.plan(self._errand.pipeline, statement, file):
            log(Action.BATCH_PLANNED, batch=key, file=file.address)

    def _submit_due(self, store: Store, hands: Hands) -> None:
        errand = self._errand
        room = errand.threads * 2 - sum("/" not in name for name in self._under_way)
        if room <= 0:
            return
        # Those that rest after a failure stay due: they must not stand before all others.
        limit = room + len(self._under_way) + self._patience.resting
        free = [
            batch.batch_key
            for batch in store.batches.due(
                SUBMITTABLE, self._clock(), limit, mode="batch", but_not=self._keyless, pipeline=errand.pipeline
            )
            if self._free(batch.batch_key)
        ]
        for key in free[:room]:
            self._hand_out(self._submitters, key, partial(hands.submit, key))

    def _refresh(self, statement: str, store: Store) -> None:
        known = self._events.get(statement, {})
        events: dict[str, str] = {}
        for key in store.batches.announceable(self._errand.pipeline, statement):
            event = known.get(key) or _event(store.batches.get(key))
            if event:
                events[key] = event
        self._events[statement] = events

    def _free(self, name: str) -> bool:
        return name not in self._under_way and self._patience.may(name)

    def _hand_out(self, pool: ThreadPoolExecutor, name: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
                self._patience.forget(name)
            except MissingCredential as error:
                # Another process may have it: the poller's, or the next one of this run.
                if error.account not in self._keyless:
                    dependency = f"key of {error.account}"
                    log(Action.DEPENDENCY_AWAY, logging.WARNING, dependency=dependency, message=str(error))
                self._keyless.add(error.account)
            except Exception as error:  # noqa: BLE001 - it is tried again
                message = f"{type(error).__name__}: {error}"
                log(Action.WORK_FAILED, logging.ERROR, work=name, message=message, at=raised_at(error))
                self._patience.failed(name)

        self._under_way[name] = pool.submit(run)


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """A text with each ${NAME} replaced. Raises SettingsError that names an unset variable."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise SettingsError(f"the environment variable {match[1]} is not set in this process: export it")
        return environ[match[1]]

    return _REFERENCE.sub(value, text)


def _event(batch: Batch | None) -> str | None:
    if batch is None or batch.provider_batch_id is None or batch.submitted_at is None:
        return None
    return (
        BatchEvent(
            batch_key=batch.batch_key,
            pipeline=batch.pipeline,
            statement=batch.statement,
            provider=batch.provider,
            account=batch.account,
            model=batch.model,
            provider_batch_id=batch.provider_batch_id,
            generation=batch.generation,
            requests=batch.requests,
            records=batch.records,
            bytes=batch.bytes,
            spool=f"{batch.pipeline}/{batch.statement}/batches/{batch.batch_key}",
            sealed_at=batch.sealed_at,
            submitted_at=batch.submitted_at,
        )
        .encode()
        .decode()
    )
