"""A batch that is published while something happens to its broker, and what must have come out then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.publish.messages import Outgoing
from poller.publish.outbox import Bounds, Outbox
from shared.lifecycle import State
from shared.messages import ProgressMarker
from tests.rig.results import Back, requests_of, sink
from tests.rig.stage import Stage

RECORDS = 200
BOUNDS = Bounds(records=60)


@contextmanager
def collected(server: ProviderServer, broker: LocalBroker, folder: Path, topic: str, **more: Any) -> Iterator[Back]:
    """One collected batch, with its shard."""
    stage = Stage(server, folder, sink=sink(broker, topic, **more))
    back = Back(stage, broker, f"progress-{topic}", BOUNDS)
    key = stage.submit(RECORDS)
    assert back.collect(key).state is State.COLLECTED
    back.assign(key)
    yield back
    stage.close()


def disturbing(disturb: Callable[[], None], at: int) -> type[Outbox]:
    """An outbox whose messages, from the `at`-th on, come after something has happened once."""

    class Disturbed(Outbox):
        happened = False

        def send(self, batch_key: str, messages: Iterator[Outgoing]) -> ProgressMarker:
            return super().send(batch_key, self._disturbed(messages))

        def _disturbed(self, messages: Iterator[Outgoing]) -> Iterator[Outgoing]:
            for message in messages:
                if message[0] >= at and not Disturbed.happened:
                    Disturbed.happened = True
                    disturb()
                yield message

    return Disturbed


def settled(back: Back) -> None:
    """Wait until the first transaction is seen.

    A lone broker that is killed between its answer to a commit and the commit's records on the partitions forgets to
    write these, and what then hangs only an operator can end.
    """
    assert len(back.outputs(at_least=BOUNDS.records)) == BOUNDS.records


def assert_each_once(back: Back) -> None:
    (batch,) = back.stage.store.batches.rows()
    assert (batch.state, batch.succeeded, batch.failed) == (State.PUBLISHED, RECORDS, 0)
    records = back.outputs(at_least=RECORDS)
    assert requests_of(records) == {f"{batch.batch_key}-{number}": 1 for number in range(RECORDS)}
