"""The files that a writer of Flink's sealed just before and just after one: the rows of a record may stand in both.

Flink's sink rolls between any two rows. Within one job each row is sealed once: what a neighbour paid for is no replay.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from shared.annals import Annals, PlanRecord
from shared.spool import SealedFile, Spool
from shared.store import Store

_NAME = re.compile(r"(.+/)part-(.+)-(\d+)-(\d+)")
"""The folder, the job's own UUID, the subtask, its count of files."""
Partition = tuple[str, str, int]
"""Cluster id, topic id, partition."""


class Neighbours:
    """One file's, as far as they are planned. Raises SpoolError for a record of a plan that is damaged."""

    def __init__(self, store: Store, spool: Spool, pipeline: str, statement: str, file: SealedFile) -> None:
        self._store, self._spool, self._pipeline, self._statement = store, spool, pipeline, statement
        self._file, self._annals = file, Annals(spool, pipeline)
        name = _NAME.fullmatch(file.address)
        self._folder, self._job, self._subtask, count = name.groups() if name else ("", "", "", "0")
        self._count = int(count)

    def touching(self, partition: Partition) -> tuple[set[int], set[int]]:
        """The last offset of which each file before it sends rows, and the first of the one after it."""
        return {max(paid) for paid in _paid(self._before, partition)}, {
            min(paid) for paid in _paid(self._after, partition)
        }

    @property
    def is_cut_off(self) -> bool:
        """Whether there was a file before it, and nobody knows of it."""
        return self._count > 0 and not self._before

    @cached_property
    def _before(self) -> list[PlanRecord]:
        names = [self._name(self._count - 1)] if self._count > 0 else []
        return self._plans(names) or self._plans(self._handed_over())

    @cached_property
    def _after(self) -> list[PlanRecord]:
        return self._plans([self._name(self._count + 1)])

    def _handed_over(self) -> Iterator[str]:
        """Files that this job was restored with, and has finished: they keep the UUID of the job that began them."""
        runs = self._store.lineage.runs(self._pipeline) if self._count > 0 else []
        run = next((run for run in runs if run.started_at <= self._file.modified_at), None)
        if run is not None and run.restored_from is not None:
            for file in self._spool.sealed_files(self._pipeline, self._statement):
                name = _NAME.fullmatch(file.address)
                is_before = name and name.group(1, 3, 4) == (self._folder, self._subtask, str(self._count - 1))
                if is_before and file.modified_at >= run.started_at:
                    yield file.address

    def _name(self, count: int) -> str:
        return f"{self._folder}part-{self._job}-{self._subtask}-{count}"

    def _plans(self, addresses: Iterable[str]) -> list[PlanRecord]:
        attempts = ((address, self._store.plans.attempt(address)) for address in addresses)
        found = (self._annals.plan(address, attempt) for address, attempt in attempts if attempt is not None)
        return [record for record in found if record is not None]


def _paid(records: Iterable[PlanRecord], partition: Partition) -> Iterator[list[int]]:
    """The ends of the runs of a partition that each plan sends rows of; none for a plan without."""
    for record in records:
        runs = [(start, end - 1) for *of, start, end in record.positions if tuple(of) == partition]
        ends = [*sum(runs, ()), *(offset for *of, offset in record.continued if tuple(of) == partition)]
        if ends:
            yield ends
