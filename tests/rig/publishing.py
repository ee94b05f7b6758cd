"""`python -m tests.rig.publishing FOLDER PROGRESS MARKER POINT NUMBER`: a publisher that kills itself.

It publishes what is collected in the stage's folder, and sends itself SIGKILL at the NUMBER-th (from 0) transaction's
POINT: `produced`, `flushed`, `committed`, or `never`. With MARKER `sql` its progress stands in the store alone, which
is the variant that must not pass.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from poller.publish.messages import Outgoing
from poller.publish.outbox import Bounds, Outbox
from poller.publish.transactions import Transactions
from shared.lifecycle import State
from shared.messages import ProgressMarker
from shared.store import Store
from tests.rig.results import Back
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

RECORDS = 50
"""Records in a transaction."""


def main(folder: str, progress: str, marker: str, point: str, number: str) -> None:
    stage = Stage(None, Path(folder))  # type: ignore[arg-type]  # nobody asks the provider any more
    transactions = killing(point, int(number))
    made = sql_only(stage.store, transactions) if marker == "sql" else with_marker(transactions)
    back = Back(stage, None, progress, Bounds(records=RECORDS), make=made)  # type: ignore[arg-type]  # nor reads from the broker
    publisher = back.publisher()

    def is_all_out() -> bool:
        publisher.run_once()
        return not stage.store.batches.rows((State.COLLECTED,))

    wait_until(is_all_out, 60, "everything to be published")


def killing(point: str, number: int) -> type[Transactions]:
    """Transactions that end the process at a point of the `number`-th commit."""

    class Killing(Transactions):
        commits = 0

        def commit(self) -> None:
            self._reach("produced")
            super().commit()
            self._reach("committed")
            Killing.commits += 1

        def flush(self) -> None:
            super().flush()
            self._reach("flushed")

        def _reach(self, reached: str) -> None:
            if reached == point and Killing.commits == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return Killing


def with_marker(killing_: type[Transactions]) -> type[Outbox]:
    """The product's own outbox."""

    class Marked(Outbox):
        transactions = killing_

    return Marked


def sql_only(store: Store, killing_: type[Transactions]) -> type[Outbox]:
    """An outbox that believes the store's counts and not the markers: progress outside of the transaction."""

    class SqlOnly(Outbox):
        transactions = killing_

        def marker(self, batch_key: str) -> ProgressMarker:
            batch = store.batches.get(batch_key)
            assert batch is not None
            out = batch.succeeded + batch.failed
            return ProgressMarker(next=out, succeeded=batch.succeeded, failed=batch.failed)

        def send(self, batch_key: str, messages: Iterator[Outgoing]) -> ProgressMarker:
            marker = super().send(batch_key, messages)
            store.batches.tally(batch_key, succeeded=marker.succeeded, failed=marker.failed)
            return marker

    return SqlOnly


if __name__ == "__main__":
    main(*sys.argv[1:])
