"""The positions of one file's rows, held against those that are paid for. No I/O of its own."""

from collections.abc import Callable, Iterator

from shared.definition import Source
from submitter.planning.plan import Offsets

Paid = Callable[[int, int, int], list[tuple[int, int]]]
"""(topic index, partition, lowest offset) to the runs that are paid for from there on."""


class Ledger:
    """The positions of one file's rows, held against those that are paid for."""

    def __init__(self, source: Source, paid: Paid) -> None:
        self._source, self._paid = source, paid
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
            offsets = self._partitions[topic, partition] = Offsets(self._paid(topic, partition, 0))
        if offset != offsets.last:
            offsets.last, offsets.is_new = offset, offsets.take(offset)
        return offsets.is_new

    def runs(self) -> Iterator[tuple[str, str, int, int, int]]:
        """(cluster id, topic id, partition, start, end) of each run taken."""
        for (topic, partition), offsets in sorted(self._partitions.items()):
            for start, end in offsets.runs():
                yield self._source.cluster_id, self._source.topics[topic][1], partition, start, end
