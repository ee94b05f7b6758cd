"""Which records of a batch are in which of its requests. Pure.

Records are counted among the rows that are asked, in their order; each request holds those that follow each other.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby

MOST_RECORDS = 50
"""In a request, where nobody says a number: more mix up their answers, and are lost together."""
Packs = tuple[tuple[int, int], ...]
"""Run lengths, in the requests' order: (requests, records in each). Empty: one record in each request."""


def packs_of(sizes: Iterable[int]) -> Packs:
    """The run lengths of requests with so many records each."""
    runs = tuple((sum(1 for _ in group), size) for size, group in groupby(sizes))
    return () if all(size == 1 for _, size in runs) else runs


class Packing:
    """A batch's requests and records."""

    def __init__(self, requests: int, packs: Packs = ()) -> None:
        self.requests = requests
        self.records = sum(count * size for count, size in packs) if packs else requests
        self._starts: array[int] | None = None
        if packs:
            self._starts = array("Q", [0])
            for count, size in packs:
                self._starts.extend(range(self._starts[-1] + size, self._starts[-1] + count * size + 1, size))

    def of(self, request: int) -> range:
        """The records of a request."""
        if self._starts is None:
            return range(request, request + 1)
        return range(self._starts[request], self._starts[request + 1])

    def request(self, record: int) -> int:
        """The request of a record."""
        return record if self._starts is None else bisect_right(self._starts, record) - 1

    def place(self, record: int) -> int | None:
        """A record's number within its request, from 1; None where requests hold one each."""
        return None if self._starts is None else record - self._starts[self.request(record)] + 1

    def grouped(self, records: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """Ascending records by their requests: (request, those of its records)."""
        for request, group in groupby(records, key=self.request):
            yield request, list(group)
