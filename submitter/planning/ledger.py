"""The positions of one file's rows, held against those that are paid for. No I/O of its own."""

from collections.abc import Callable, Iterator
from functools import partial

from shared.definition import Source
from submitter.planning.plan import Offsets, Touching

Paid = Callable[[int, int, int], list[tuple[int, int]]]
"""(topic index, partition, lowest offset) to the runs that are paid for from there on."""
Touches = Callable[[int, int], Touching]
"""(topic index, partition) to the last offset of each file before this one, and the first of the file after it."""


class Ledger:
    """The positions of one file's rows, held against those that are paid for."""

    def __init__(
        self, source: Source, paid: Paid, touches: Touches = lambda _topic, _partition: (set(), set())
    ) -> None:
        self._source, self._paid, self._touches = source, paid, touches
        self._partitions: dict[tuple[int, int], Offsets] = {}

    def take(self, position: list[int] | None) -> bool:
        """Whether a row's position is new. A row without one always is.

        Rows of one position are of one record where no other of their partition stands between them: Flink's JSON
        format makes a row of each element of a top-level array, and rows of other topics may come in between.
        """
        if not position:
            return True
        topic, partition, offset = position
        offsets = self._partitions.get((topic, partition))
        if offsets is None:
            offsets = self._partitions[topic, partition] = self._offsets(topic, partition)
        if offset != offsets.last:
            offsets.last, offsets.is_new = offset, offsets.take(offset)
        return offsets.is_new

    def _offsets(self, topic: int, partition: int) -> Offsets:
        return Offsets(self._paid(topic, partition, 0), partial(self._touches, topic, partition))

    def runs(self) -> Iterator[tuple[str, str, int, int, int]]:
        """(cluster id, topic id, partition, start, end) of each run taken."""
        for (topic, partition), offsets in sorted(self._partitions.items()):
            for start, end in offsets.runs():
                yield self._source.cluster_id, self._source.topics[topic][1], partition, start, end

    def continued(self) -> Iterator[tuple[str, str, int, int]]:
        """(cluster id, topic id, partition, offset) of each record that is paid for, and goes on in this file."""
        for (topic, partition), offsets in sorted(self._partitions.items()):
            for offset in offsets.continued:
                yield self._source.cluster_id, self._source.topics[topic][1], partition, offset

    def doubtful(self) -> Iterator[tuple[str, int, int]]:
        """(topic, partition, offset) of each record that was skipped, and may be the rest of one that is paid for."""
        for (topic, partition), offsets in sorted(self._partitions.items()):
            if offsets.doubtful is not None:
                yield self._source.topics[topic][0], partition, offsets.doubtful
