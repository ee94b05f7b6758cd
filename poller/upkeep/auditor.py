"""Looks for creates that showed after all: counted as absent when their quarantine was over, and accepted nevertheless.

Where the provider keeps metadata they name themselves. Elsewhere their receipts do, if whoever made them lived to write
one; and a batch of the same size that nobody knows may be one, or another user's. Each is followed to its end; see
poller.upkeep.pursuit.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from poller.duty import BUSY, CHECKED, FAULTS, WAITING, Counts
from poller.upkeep.pursuit import Pursuit
from shared.clock import Clock
from shared.errors import ProviderError, SettingsError, SpoolError, StoreUnavailable
from shared.intents import read_receipt
from shared.lease import Keeper
from shared.providers.port import Provider, RemoteBatch
from shared.recovery import SLACK, WIDE
from shared.spool import Spool
from shared.store import Attempt, Batch, Store, Stray, Whose
from shared.telemetry import SECRETS, Action, log

SINCE = timedelta(days=2)
"""How long after its end a quarantine is still doubted."""


class Auditor:
    """The duty `audit`."""

    name = "audit"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        provider_of: Callable[[Batch], Provider],
        keeper: Keeper,
        clock: Clock,
        *,
        exclusive: Collection[str] = (),
    ) -> None:
        """`exclusive`: the names of keys whose workspaces are this store's alone."""
        self._store, self._spool, self._provider_of = store, spool, provider_of
        self._keeper, self._clock = keeper, clock
        self._pursuit = Pursuit(store, provider_of, clock, exclusive)

    def run_once(self) -> Counts:
        """One list call for each account whose creates were given up lately, and a look at each open stray.

        Raises StoreUnavailable.
        """
        counts: Counter[str] = Counter()
        given_up = self._store.attempts.given_up(self._clock() - SINCE)
        accounts = {attempt.account for attempt in given_up} | {stray.account for stray in self._store.strays.open()}
        for account in sorted(accounts):
            with self._keeper.hold(f"audit/{account}") as lease:
                if lease is None:
                    counts[BUSY] += 1
                    continue
                counts[self._isolated(account, [attempt for attempt in given_up if attempt.account == account])] += 1
                counts.update(self._follow([stray for stray in self._store.strays.open() if stray.account == account]))
        return counts

    def _isolated(self, account: str, attempts: Sequence[Attempt]) -> str:
        """One account's turn, with every fault kept to it; gives the count that it falls under."""
        try:
            return self._audit(attempts)
        except StoreUnavailable:
            raise
        except (ProviderError, SettingsError, SpoolError):
            return WAITING
        except Exception as error:  # noqa: BLE001 an account that can't be looked at keeps no other
            message = SECRETS.redact(f"{type(error).__name__}: {error}")
            log(Action.BATCH_FAULT, logging.WARNING, account=account, message=message)
            return FAULTS

    def _audit(self, attempts: Sequence[Attempt]) -> str:
        """Note what showed late."""
        batches = {attempt.batch_key: self._store.batches.get(attempt.batch_key) for attempt in attempts}
        known = {key: batch for key, batch in batches.items() if batch is not None}
        if not known:
            return CHECKED
        provider = self._provider_of(next(iter(known.values())))
        is_identified = provider.profile.is_identified
        since = min(attempt.started_at for attempt in attempts) - SLACK - (WIDE if is_identified else timedelta())
        accepted = {} if is_identified else self._accepted(known, attempts)
        found = [
            (batch, remote)
            for remote in provider.created_since(since)
            if (batch := accepted.get(remote.id) or self._whose(remote, known, attempts, is_identified=is_identified))
            and not self._store.strays.is_known(remote.id)
        ]
        for batch, remote in found:
            self._note(batch, remote, Whose.OURS if is_identified else Whose.UNKNOWN)
        return "strays" if found else CHECKED

    def _whose(
        self, remote: RemoteBatch, known: Mapping[str, Batch], attempts: Sequence[Attempt], *, is_identified: bool
    ) -> Batch | None:
        """The batch whose second life this may be, unless it is in order; None for nobody's."""
        if is_identified:
            # Only what was counted as absent: a later attempt of the same batch may be in flight, unrecorded yet.
            files = {each.input_file_id: each.batch_key for each in attempts if each.input_file_id}
            named = {(each.batch_key, str(each.attempt)): each.batch_key for each in attempts}
            if key := remote.metadata.get("batch_key"):
                return known.get(named.get((key, remote.metadata.get("attempt", "")), ""))
            return known.get(files.get(remote.input_file_id or "", ""))
        # Up to the end of its quarantine it could have come into being; what came later was looked for by others.
        late = (
            attempt
            for attempt in attempts
            if attempt.resolved_at
            and attempt.started_at - SLACK <= remote.created_at <= attempt.resolved_at
            and attempt.requests == remote.total
        )
        return next((known[attempt.batch_key] for attempt in late if attempt.batch_key in known), None)

    def _accepted(self, known: Mapping[str, Batch], attempts: Sequence[Attempt]) -> dict[str, Batch]:
        """What was accepted after it was given up, by whoever had lost the batch meanwhile: by the provider's ids."""
        accepted = {}
        for attempt in attempts:
            if batch := known.get(attempt.batch_key):
                folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
                # One that can't be read now is read at the next pass.
                with suppress(SpoolError):
                    if receipt := read_receipt(self._spool, folder, attempt.attempt):
                        accepted[receipt.provider_batch_id] = batch
        return accepted

    def _note(self, batch: Batch, remote: RemoteBatch, whose: Whose) -> None:
        is_new = self._store.strays.note(
            batch.batch_key, batch.account, remote.id, whose=whose, created_at=remote.created_at
        )
        if is_new:
            what = "a second create of this batch" if whose is Whose.OURS else "a batch of this size that nobody knows"
            log(
                Action.CREATE_STRAY,
                logging.ERROR,
                batch=batch.batch_key,
                provider_batch=remote.id,
                message=f"{what} showed after its quarantine",
            )

    def _follow(self, strays: Sequence[Stray]) -> Counter[str]:
        """Each by itself: one that can't be looked at keeps no other."""
        counts: Counter[str] = Counter()
        for stray in strays:
            try:
                counts["followed" if self._pursuit.follow(stray) else CHECKED] += 1
            except StoreUnavailable:
                raise
            except (ProviderError, SettingsError, SpoolError) as error:
                message = SECRETS.redact(str(error))
                log(Action.BATCH_FAULT, logging.DEBUG, batch=stray.batch_key, message=message)
                counts[WAITING] += 1
            except Exception as error:  # noqa: BLE001 such as a disk that has no room for its results
                message = SECRETS.redact(f"{type(error).__name__}: {error}")
                log(Action.BATCH_FAULT, logging.WARNING, batch=stray.batch_key, message=message)
                counts[FAULTS] += 1
        return counts
