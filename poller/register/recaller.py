"""Takes back what stands in the spool and the store has forgotten: it was restored from an older copy.

Their events were consumed once, and come no more; and the submitter, which would plan their files anew, need not live.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from poller.duty import FAULTS, KNOWN, Counts
from shared.clock import Clock
from shared.errors import SpoolAway, SpoolError, StoreUnavailable
from shared.keys import is_batch_key
from shared.recall import Belonging, belonging, recall, recall_pipeline, recall_plans
from shared.spool import Spool
from shared.store import Store
from shared.telemetry import Action, log

_AT_ONCE = 500


class Recaller:
    """The duty `recall`."""

    name = "recall"

    def __init__(
        self, store: Store, spool: Spool, clock: Clock, pace: timedelta, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._store, self._spool, self._clock, self._pace, self._environ = store, spool, clock, pace, environ
        self._looked_at: datetime | None = None
        self._damaged: set[str] = set()

    def run_once(self) -> Counts:
        """Take back all that is missing, at the first call, and at times. Raises StoreUnavailable, SpoolAway."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < self._pace:
            return {}
        counts = self._sweep()
        self._looked_at = now
        return counts

    def _sweep(self) -> Counter[str]:
        counts = Counter[str]()
        for pipeline in self._spool.pipelines():
            if self._is_ours(pipeline, counts):
                for _, statement in self._spool.statements(pipeline):
                    for keys in _chunks(self._keys(pipeline, statement)):
                        for key in self._store.recalls.absent(keys):
                            counts[self._recall(pipeline, statement, key)] += 1
                counts += self._plans(pipeline)
        return counts

    def _is_ours(self, pipeline: str, counts: Counter[str]) -> bool:
        """Whether a pipeline is this store's; one that it has forgotten is taken back. The doctor tells of others."""
        try:
            found = belonging(self._store, self._spool, pipeline)
            if found is Belonging.FORGOTTEN and recall_pipeline(self._store, self._spool, pipeline):
                log(Action.PIPELINE_RECALLED, logging.WARNING, pipeline=pipeline)
                counts["pipelines"] += 1
        except SpoolAway:
            raise
        except SpoolError as error:
            log(Action.BATCH_FAULT, logging.WARNING, pipeline=pipeline, message=str(error))
            counts[FAULTS] += 1
            return False
        return found in (Belonging.OURS, Belonging.FORGOTTEN)

    def _plans(self, pipeline: str) -> Counter[str]:
        """Take back the plans of files that are deleted, for their positions; the others the submitter takes back."""
        counts = Counter[str]()

        def damaged(error: SpoolError) -> None:
            log(Action.BATCH_FAULT, logging.WARNING, pipeline=pipeline, message=str(error))
            counts[FAULTS] += 1

        counts["plans"] += recall_plans(self._store, self._spool, pipeline, damaged)
        return counts

    def _keys(self, pipeline: str, statement: str) -> list[str]:
        folder = f"{self._spool.statement(pipeline, statement)}/batches"
        names = (entry.name for entry in self._spool.files.entries(folder) if entry.is_folder)
        return [name for name in names if is_batch_key(name)]

    def _recall(self, pipeline: str, statement: str, key: str) -> str:
        try:
            if not recall(self._store, self._spool, self._spool.manifest(pipeline, statement, key), self._environ):
                return KNOWN
        except (SpoolAway, StoreUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 one damaged batch is isolated
            # Nothing mends it while this process lives: it is said once.
            level = logging.DEBUG if key in self._damaged else logging.WARNING
            self._damaged.add(key)
            message = str(error) if isinstance(error, SpoolError) else f"{type(error).__name__}: {error}"
            log(Action.BATCH_FAULT, level, batch=key, message=message)
            return FAULTS
        log(Action.BATCH_RECALLED, logging.WARNING, batch=key)
        return "recalled"


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
