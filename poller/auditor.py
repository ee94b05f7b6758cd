"""Looks for creates that showed after all: counted as absent when their quarantine was over, and accepted nevertheless.

Where the provider keeps metadata they name themselves, and are cancelled. Elsewhere a batch of the same size that
nobody knows is only reported: it may be another user's.
"""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby

from poller.duty import BUSY, CHECKED, WAITING, Counts
from shared.clock import Clock
from shared.errors import ProviderError
from shared.lease import Keeper
from shared.providers.port import Provider, RemoteBatch
from shared.recovery import SLACK
from shared.store import Attempt, Batch, Store
from shared.telemetry import SECRETS, Action, log

SINCE = timedelta(days=2)
"""How long after its end a quarantine is still doubted."""


class Auditor:
    """The duty `audit`."""

    name = "audit"

    def __init__(self, store: Store, provider_of: Callable[[Batch], Provider], keeper: Keeper, clock: Clock) -> None:
        self._store, self._provider_of, self._keeper, self._clock = store, provider_of, keeper, clock

    def run_once(self) -> Counts:
        """One list call for each account whose creates were given up lately. Raises StoreUnavailable."""
        counts: Counter[str] = Counter()
        given_up = self._store.attempts.given_up(self._clock() - SINCE)
        for account, attempts in groupby(given_up, key=lambda attempt: attempt.account):
            with self._keeper.hold(f"audit/{account}") as lease:
                counts[BUSY if lease is None else self._audit(list(attempts))] += 1
        return counts

    def _audit(self, attempts: list[Attempt]) -> str:
        batches = {attempt.batch_key: self._store.batches.get(attempt.batch_key) for attempt in attempts}
        known = {key: batch for key, batch in batches.items() if batch is not None}
        if not known:
            return CHECKED
        provider = self._provider_of(next(iter(known.values())))
        since = min(attempt.started_at for attempt in attempts) - SLACK
        try:
            found = [
                (batch, remote)
                for remote in provider.created_since(since)
                if (batch := self._whose(remote, known, attempts, has_metadata=provider.profile.has_metadata))
            ]
            for batch, remote in found:
                self._report(batch, remote, provider)
        except ProviderError:
            return WAITING
        return "strays" if found else CHECKED

    def _whose(
        self, remote: RemoteBatch, known: dict[str, Batch], attempts: list[Attempt], *, has_metadata: bool
    ) -> Batch | None:
        """The batch whose second life this is; None for one that is in order, or reported already."""
        if has_metadata:
            batch = known.get(remote.metadata.get("batch_key", ""))
        else:
            # Up to the end of its quarantine it could have come into being; what came later was looked for by others.
            late = (a for a in attempts if a.resolved_at and a.started_at - SLACK <= remote.created_at <= a.resolved_at)
            batch = next(
                (known[a.batch_key] for a in late if a.requests == remote.total and a.batch_key in known), None
            )
        if batch is None or self._store.strays.is_known(batch.account, remote.id):
            return None
        return batch

    def _report(self, batch: Batch, remote: RemoteBatch, provider: Provider) -> None:
        is_ours = provider.profile.has_metadata
        if is_ours and remote.phase != "ended":
            provider.cancel(remote.id)
        if self._store.strays.note(batch.batch_key, batch.account, remote.id, cancelled=is_ours):
            what = (
                "a second create of this batch showed" if is_ours else "a batch of this size that nobody knows showed"
            )
            log(
                Action.CREATE_STRAY,
                logging.ERROR,
                batch=batch.batch_key,
                provider_batch=remote.id,
                message=SECRETS.redact(f"{what} after its quarantine"),
            )
