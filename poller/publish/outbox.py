"""A shard's outbox: outputs go out in transactions that also carry the batch's progress marker.

Opening it fences whoever had the shard before, and reads what that one committed. A marker is the truth about a batch.
What an earlier transaction left open, though it was said to have ended, is aborted before the next one commits.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, ClassVar

from confluent_kafka import KafkaException, Message

from poller.publish.doubts import Doubts, Found
from poller.publish.endings import Endings, Place, Unended
from poller.publish.markers import Markers
from poller.publish.messages import Outgoing
from poller.publish.progress import replay
from poller.publish.transactions import Aborted, Transactions
from shared.failpoints import Failpoint, reached
from shared.messages import ProgressMarker
from shared.telemetry import Action, log

_LOOK = 128
"""Messages between two looks at the clock and at the client's events."""
_NOW, _FIRST = 0, 1
"""The client takes the timestamp 0 for none, and writes the time: the epoch itself goes as a millisecond later."""


@dataclass(frozen=True)
class Shard:
    """Where a batch is published, and by whom."""

    installation: str
    cluster: str
    number: int

    @property
    def transactional_id(self) -> str:
        return f"batchline-{self.installation}-{self.cluster}-{self.number}"

    @property
    def lease(self) -> str:
        return f"shard/{self.cluster}/{self.number}"


@dataclass(frozen=True)
class Bounds:
    """When a transaction has enough in it: whichever comes first."""

    records: int = 10_000
    bytes: int = 8 << 20
    seconds: float = 10.0


def producer_settings(client: Mapping[str, str], shard: Shard, batch_bytes: int) -> dict[str, Any]:
    """The producer's properties: the cluster's own win, save for those that the guarantee rests on."""
    ours = {
        "linger.ms": 5,
        "queue.buffering.max.kbytes": 32 << 10,
        # Each topic's own limit is checked before a message gets here.
        "message.max.bytes": 1_000_000_000,
        "transaction.timeout.ms": 60_000,
    }
    needed = {
        "batch.size": batch_bytes,
        "transactional.id": shard.transactional_id,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
    }
    return {**ours, **client, **needed}


class Outbox:
    """One shard's transactions and markers."""

    transactions: ClassVar[type[Transactions]] = Transactions
    endings: ClassVar[type[Endings]] = Endings

    def __init__(
        self,
        client: Mapping[str, str],
        shard: Shard,
        progress_topic: str,
        waits: Callable[[str], None],
        *,
        batch_bytes: int,
        bounds: Bounds,
    ) -> None:
        """Fence the shard's former owner and read its markers. Raises KafkaUnavailable."""
        self.shard, self.batch_bytes = shard, batch_bytes
        self.topics: Collection[str] = ()
        """Those that the next messages may go to."""
        self._topic, self._bounds = progress_topic, bounds
        self._endings = self.endings(client)
        self._transactions = self.transactions(producer_settings(client, shard, batch_bytes), waits)
        reached(Failpoint.SHARD_FENCED)
        self._markers: Markers = replay(client, progress_topic, shard.number)

    @property
    def is_dead(self) -> bool:
        """Whether another has to be opened."""
        return self._transactions.is_dead

    def marker(self, batch_key: str) -> ProgressMarker:
        """How far a batch has come, as it is committed. Raises ForeignMarker."""
        return self._markers.of(batch_key)

    def send(self, batch_key: str, messages: Iterator[Outgoing]) -> ProgressMarker:
        """Commit the next messages of a batch in one transaction, with its marker: `done` when no more are left.

        Raises Aborted: `messages` must then be begun anew. Raises MustRestart when the outcome is unknown,
        KafkaUnavailable, and Undecided where another batch has to go first.
        """
        transactions, before = self._transactions, self.marker(batch_key)
        with self._begun(self.topics, before.encode(), batch_key) as have_ended:
            reached(Failpoint.TRANSACTION_BEGUN)
            if not have_ended:
                messages = self._end_earlier(self.topics, batch_key, messages)
            marker = self._fill(before, messages)
        reached(Failpoint.TRANSACTION_FILLED)
        transactions.produce(self._topic, marker.encode(), batch_key, partition=self.shard.number)
        transactions.commit()
        reached(Failpoint.TRANSACTION_COMMITTED)
        self._markers[batch_key] = marker
        return marker

    def forget(self, batch_keys: Iterable[str]) -> None:
        """Tombstone the markers of batches, long after their publication, in one transaction. Raises as `send` does."""
        known = [key for key in batch_keys if key in self._markers]
        if known:
            with self._begun((), None, known[0]) as have_ended:
                if not have_ended:
                    self._end_earlier((), known[0], iter(()))
            for key in known[1:]:
                self._transactions.produce(self._topic, None, key, partition=self.shard.number)
            self._transactions.commit()
            for key in known:
                del self._markers[key]

    def close(self) -> None:
        self._transactions.close()

    @property
    def _place(self) -> Place:
        return self._topic, self.shard.number

    @contextmanager
    def _begun(self, topics: Collection[str], value: bytes | None, batch_key: str) -> Iterator[bool]:
        """A transaction that goes to `topics`, begun; tells whether all before it are known to have ended there."""
        have_ended = self._endings.have_come(topics, self._place)
        self._transactions.begin()
        # First of all, so that whatever of this transaction a broker forgets to end shows here, and stops the shard.
        self._transactions.produce(self._topic, value, batch_key, partition=self.shard.number)
        try:
            yield have_ended
        except Aborted:
            raise
        except BaseException as error:
            # A fault of the messages' own: nothing of what went before it may be seen.
            self._transactions.abort(error)
            raise

    def _end_earlier(self, topics: Collection[str], batch_key: str, messages: Iterator[Outgoing]) -> Iterator[Outgoing]:
        """See to it that a commit takes nothing along that was aborted; gives the messages, to be sent.

        Raises Aborted where that had to be aborted once more, by a transaction that writes to the same partitions.
        """
        # What is acknowledged here is so only after the coordinator has completed the transaction before.
        self._transactions.flush()
        missing = self._endings.missing(topics, self._place)
        if not missing:
            return messages
        coming = list(islice(messages, self._bounds.records))
        doubts = Doubts(self._markers, batch_key, coming)
        aborted = [(each, found) for each in missing if (found := self._aborted(each, doubts)) is not None]
        self._endings.accept()
        if not aborted:
            return chain(coming, messages)
        for unended, found in aborted:
            topic, partition = unended.place
            log(Action.ABORT_REPEATED, logging.WARNING, topic=topic, partition=partition, offset=found.offset)
            if unended.place != self._place:
                self._transactions.produce(topic, found.value, found.key, [*found.headers.items()], partition=partition)
        self._transactions.flush()
        raise self._transactions.abort(Aborted("what an earlier one had left open is aborted with it"))

    def _aborted(self, unended: Unended, doubts: Doubts) -> Found | None:
        """The first message there of a transaction of ours that was aborted."""
        judge = doubts.is_ahead if unended.place == self._place else doubts.was_aborted
        return next(filter(judge, map(_found, self._endings.messages(unended))), None)

    def _fill(self, before: ProgressMarker, messages: Iterator[Outgoing]) -> ProgressMarker:
        """Fill one transaction; gives the marker that goes with it."""
        produce, most, most_bytes = self._transactions.produce_now, self._bounds.records, self._bounds.bytes
        end = time.monotonic() + self._bounds.seconds
        following, done = before.next, True
        count = succeeded = size = 0
        for ordinal, is_answered, topic, key, value, headers, timestamp in messages:
            sent = _NOW if timestamp is None else timestamp or _FIRST
            try:
                produce(topic, value, key, -1, None, None, sent, headers)
            except (BufferError, KafkaException):
                self._transactions.produce(topic, value, key, headers, sent)
            following = ordinal + 1
            count += 1
            succeeded += is_answered
            size += len(value) if value else 0
            if count >= most or size >= most_bytes:
                done = False
                break
            if count % _LOOK == 0:
                self._transactions.pause()
                if time.monotonic() >= end:
                    done = False
                    break
        return ProgressMarker(
            next=following,
            succeeded=before.succeeded + succeeded,
            failed=before.failed + count - succeeded,
            done=done,
        )


def _found(message: Message) -> Found:
    # The client's stubs say other types.
    offset: Any = message.offset()
    key: Any = message.key()
    value: Any = message.value()
    headers: Any = message.headers()
    return Found(offset, key, value, dict(headers or ()))
