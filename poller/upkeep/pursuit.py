"""Follows one stray, a second provider batch of one key: whose it is, its end, and what it cost.

Metadata say at once whose it is. Without them its results do, which exist only once it has ended; until then it is
cancelled only where the operator says that nothing else uses the workspace.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from poller.collect.demux import Scan, lines_of, scan
from poller.collect.results import ResultsWriter
from shared.clock import Clock
from shared.errors import NotFound
from shared.failpoints import Failpoint, reached
from shared.keys import parse_custom_id
from shared.lifecycle import COLLECTABLE, WATCHED, State
from shared.providers.port import Provider, RemoteBatch
from shared.providers.prices import cost_at
from shared.recovery import SLACK
from shared.spool.scratch import Scratch
from shared.store import Batch, Store, Stray, Whose
from shared.store.creates import FORGOTTEN
from shared.telemetry import Action, log

_UNSENT = (State.SEALED, State.HELD)
"""In which a batch may stay for days: its strays' results are not read meanwhile."""
_UNCREATED = (*_UNSENT, State.SUBMITTING, State.AMBIGUOUS)
"""In which no provider batch stands recorded."""


class Pursuit:
    """Takes strays one step on; every verb raises what the provider's call raises."""

    def __init__(
        self, store: Store, provider_of: Callable[[Batch], Provider], clock: Clock, exclusive: Collection[str] = ()
    ) -> None:
        """`exclusive`: the names of keys whose workspaces are this store's alone."""
        self._store, self._provider_of, self._clock, self._exclusive = store, provider_of, clock, exclusive
        self._scratch = Scratch()

    def follow(self, stray: Stray) -> bool:
        """Look at a stray; whether something came of it."""
        batch = self._store.batches.get(stray.batch_key)
        if batch is None:
            return False
        provider = self._provider_of(batch)
        try:
            remote = provider.retrieve(stray.provider_batch_id)
            has_ended = remote.phase == "ended"
            if has_ended and self._settled(stray, batch, remote, provider):
                return True
        except NotFound:
            return self._give_up(stray, batch, provider)
        if not has_ended and stray.cancelled_at is None and self._is_ours(stray, remote):
            provider.cancel(remote.id)
            reached(Failpoint.STRAY_CANCELLED)
            self._store.strays.cancelled(remote.id)
            log(
                Action.CREATE_STRAY, logging.ERROR, batch=batch.batch_key, provider_batch=remote.id, message="cancelled"
            )
            return True
        return self._give_up(stray, batch, provider)

    def _is_ours(self, stray: Stray, remote: RemoteBatch) -> bool:
        """Whether it says so, or nobody else can have made it; and no look-up may still want it."""
        if stray.whose is not Whose.UNKNOWN:
            return stray.whose is Whose.OURS
        key = stray.account.partition(":")[2].partition("@")[0]
        if key not in self._exclusive:
            return False
        # The store had forgotten its creates, and perhaps whose this is: its results will say.
        if any(attempt.note == FORGOTTEN for attempt in self._store.attempts.of(stray.batch_key)):
            return False
        # Before it is seen whether one has it: an attempt may be resolved at any moment.
        open_ = self._store.attempts.open()
        return not self._is_wanted(stray) and not any(
            attempt.requests == remote.total
            and attempt.started_at - SLACK <= remote.created_at
            and _service(attempt.account) == _service(stray.account)
            for attempt in open_
        )

    def _is_wanted(self, stray: Stray) -> bool:
        """Whether a look-up has adopted it since: then its own batch's collection proves it."""
        states = (*WATCHED, *COLLECTABLE)
        return bool(self._store.batches.rows(states, 1, provider_batch_id=stray.provider_batch_id))

    def _settled(self, stray: Stray, batch: Batch, remote: RemoteBatch, provider: Provider) -> bool:
        """Whether its results say whose it is, and nothing may adopt it any more."""
        is_identified = provider.profile.is_identified
        if batch.state in _UNSENT or self._is_wanted(stray) or not (remote.results or is_identified):
            return False
        with self._scratch.lent() as folder:
            paths = provider.download(remote, folder)
            # An operator's word that the workspace is ours says nothing of which batch it is.
            key = batch.batch_key if is_identified else _owner(paths, provider)
            owner = self._store.batches.get(key) if key else None
            if owner is None or self._is_recorded(owner, remote.id):
                # Its ids are nobody's whom we know, or it is some batch's one and only create.
                self._store.strays.settle(remote.id, Whose.FOREIGN)
                return True
            if self._is_sought_by(owner):
                self._store.strays.attribute(remote.id, owner.batch_key)
                return False
            counts = _counted(paths, owner, provider, folder)
        counted = (counts.input_tokens, counts.output_tokens, counts.cached)
        price = cost_at(provider.profile, owner.provider, owner.model, *counted)
        self._store.strays.settle(
            remote.id,
            Whose.OURS,
            batch_key=owner.batch_key,
            input_tokens=counts.input_tokens,
            output_tokens=counts.output_tokens,
            cost_usd=None if price is None else price.batch_usd,
        )
        log(
            Action.CREATE_STRAY,
            logging.ERROR,
            batch=owner.batch_key,
            provider_batch=remote.id,
            message="it has ended, and was paid for twice",
            input_tokens=counts.input_tokens,
            output_tokens=counts.output_tokens,
            cost_usd=None if price is None else price.batch_usd,
        )
        return True

    def _is_sought_by(self, batch: Batch) -> bool:
        """Whether a batch has no create for certain yet: a look-up of its own may still adopt this one."""
        if batch.state in _UNCREATED:
            return True
        attempts = self._store.attempts.of(batch.batch_key)
        return batch.state in (*WATCHED, *COLLECTABLE) and bool(attempts) and attempts[0].is_guess

    @staticmethod
    def _is_recorded(batch: Batch, provider_batch_id: str) -> bool:
        return batch.provider_batch_id == provider_batch_id

    def _give_up(self, stray: Stray, batch: Batch, provider: Provider) -> bool:
        """Once its results are gone for good nothing more is learned: it may have cost as much as it was thought to."""
        if (stray.created_at or stray.found_at) + provider.profile.results_kept > self._clock():
            return False
        whose = stray.whose
        estimate = batch.estimated_cost_usd if whose is Whose.OURS else None
        self._store.strays.settle(stray.provider_batch_id, whose, cost_usd=estimate, is_estimate=True)
        return True


def _service(account: str) -> tuple[str, str]:
    """The provider and the host of an account, which the keys of one workspace share."""
    provider, _, rest = account.partition(":")
    return provider, rest.partition("@")[2]


def _owner(paths: Sequence[Path], provider: Provider) -> str | None:
    """The batch whose requests these are results of, by the first id of ours."""
    for line in _lines(paths):
        answer = provider.answer(line)
        request = parse_custom_id(answer.custom_id) if answer else None
        if request is not None:
            return request.batch_key
    return None


def _counted(paths: Sequence[Path], batch: Batch, provider: Provider, folder: Path) -> Scan:
    """What the results of a batch were billed for, each request once."""
    with ResultsWriter(folder, batch.requests) as results:
        return scan(_lines(paths), batch.batch_key, provider.answer, results)


def _lines(paths: Sequence[Path]) -> Iterator[bytes]:
    return chain.from_iterable(map(_of, paths))


def _of(path: Path) -> Iterator[bytes]:
    with path.open("rb", 1 << 20) as file:
        yield from lines_of(file)
