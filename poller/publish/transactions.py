"""Kafka transactions of one transactional id, and the ladder of their errors: again, aborted for certain, or unknown.

Everything is flushed before a commit is sent, so that only the commit's own answer can ever be unknown.
"""

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from shared.errors import BatchlineError, MustRestart
from shared.failpoints import Failpoint, reached
from shared.kafka import LIBRDKAFKA, is_away, unavailable

_CALL = 2.0
"""Seconds of one call to the cluster, after which it is called again."""
_OPENING = 30.0
"""Seconds in which the transaction coordinator must answer."""
_SOON = 0.1


class Aborted(BatchlineError):
    """The transaction was aborted, or will be; or its producer is dead. Go on from the last committed marker."""


class _Step(Enum):
    AGAIN = "again"
    ABORT = "abort"
    FATAL = "fatal"


class Transactions:
    """One producer; `is_dead` says that another has to take its place."""

    def __init__(self, settings: Mapping[str, Any], waits: Callable[[str], None], *, opening: float = _OPENING) -> None:
        """Fence every earlier producer of this transactional id, and end its transaction.

        `waits` is told when the cluster does not answer. Raises KafkaUnavailable.
        """
        self._servers, self._waits = str(settings["bootstrap.servers"]), waits
        self._fatal: KafkaError | None = None
        self.is_dead = False
        self._producer = Producer({**settings, "error_cb": self._hear}, logger=LIBRDKAFKA)
        self.produce_now = self._producer.produce
        """The client's own `produce`, for the hot path; what it refuses is to be given to `produce`."""
        self._initialise(time.monotonic() + opening)

    def begin(self) -> None:
        """Begin a transaction. Raises Aborted when this producer can't go on."""
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._dead(error.args[0]) from error

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | str | None,
        headers: list[tuple[str, str | bytes | None]] | None = None,
        timestamp: int = 0,
        partition: int = -1,
    ) -> None:
        """Queue a message. Waits while the queue, which is bounded, is full. Raises Aborted."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers or [], timestamp=timestamp)
            except BufferError:
                self._serve(_SOON)
            except KafkaException as error:
                raise self.abort(error) from error
            else:
                return

    def pause(self) -> None:
        """Serve the producer's events; to be called at times. Raises Aborted."""
        self._serve(0)

    def flush(self) -> None:
        """Wait until nothing is queued. Raises Aborted; a message that was not delivered fails the next call."""
        while self._call(self._producer.flush) > 0:
            self._waits("messages wait for their acknowledgement")
        self._serve(0)

    def commit(self) -> None:
        """Commit. Raises Aborted, or MustRestart when nobody knows whether it took effect; each ends this producer."""
        self.flush()
        reached(Failpoint.TRANSACTION_FLUSHED)
        while True:
            try:
                self._producer.commit_transaction(_CALL)
            except KafkaException as error:
                step = _step(error.args[0])
                if step is _Step.ABORT:
                    # An earlier call may have sent it, and it may have taken effect: the next producer reads that.
                    aborted = self.abort(error)
                    self.is_dead = True
                    raise aborted from error
                if step is _Step.FATAL:
                    self.is_dead = True
                    raise MustRestart(
                        f"Kafka at {self._servers}: whether a transaction was committed is unknown "
                        f"({error.args[0].str()}); the next process reads it from the progress topic"
                    ) from error
                self._waits(error.args[0].str())
            else:
                return

    def abort(self, cause: BaseException) -> Aborted:
        """Abort, whatever it takes; gives the exception to raise."""
        while not self.is_dead:
            try:
                self._producer.abort_transaction(_CALL)
            except KafkaException as error:
                if _step(error.args[0]) is not _Step.AGAIN:
                    return self._dead(error.args[0])
                self._waits(error.args[0].str())
            else:
                break
        return Aborted(f"Kafka at {self._servers}: a transaction was aborted: {cause}")

    def close(self) -> None:
        """Drop what is queued, and let the producer go."""
        self.is_dead = True
        self._producer.purge()
        self._producer.poll(0)

    def _initialise(self, deadline: float) -> None:
        while True:
            try:
                self._producer.init_transactions(_CALL)
            except KafkaException as error:
                cause = error.args[0]
                if not (cause.retriable() or is_away(cause)):
                    raise
                if time.monotonic() >= deadline:
                    self.close()
                    raise unavailable(error, "transactions are begun", self._servers) from error
            else:
                return

    def _serve(self, seconds: float) -> None:
        self._call(self._producer.poll, seconds)

    def _call(self, method: Callable[[float], int], seconds: float = _CALL) -> int:
        """Flush or poll. Raises Aborted when the producer has ended."""
        try:
            left = method(seconds)
        except KafkaException as error:
            raise self._dead(error.args[0]) from error
        if self._fatal is not None:
            raise self._dead(self._fatal)
        return left

    def _hear(self, error: KafkaError) -> None:
        if error.fatal() or error.name() == "_FATAL":
            self._fatal = error
        elif error.name() == "_ALL_BROKERS_DOWN":
            self._waits(error.str())

    def _dead(self, error: KafkaError) -> Aborted:
        """This producer is of no use: the next one ends what it has begun, and reads what was committed."""
        self.is_dead = True
        return Aborted(f"Kafka at {self._servers}: a producer has ended: {error.str()}")


def _step(error: KafkaError) -> _Step:
    if error.fatal():
        return _Step.FATAL
    if error.txn_requires_abort():
        return _Step.ABORT
    return _Step.AGAIN if error.retriable() or is_away(error) else _Step.FATAL
