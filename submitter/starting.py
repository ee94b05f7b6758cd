"""A start without Flink state: plan what is finished, then read on from the end of the ledger's contiguous prefix."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.errors import SettingsError, SpoolError
from shared.kafka import KafkaClusters
from shared.spool import SealedFile, Spool
from shared.store import Store
from submitter.lineage import first_starts, read_from
from submitter.offsets import TopicOffsets, Watermarks
from submitter.pipeline.values import Statement

Plan = Callable[[str, str, SealedFile], list[str]]


@dataclass(frozen=True)
class Place:
    """Where one partition is read from."""

    statement: str
    topic: str
    topic_id: str
    partition: int
    offset: int
    gone: int = 0
    """Records between the place we would read from and the first that the topic still has."""
    again: int = 0
    """Records from here on that are paid for: read again, and skipped."""


@dataclass(frozen=True)
class Places:
    """Where each partition of each statement is read from."""

    places: tuple[Place, ...] = ()

    def of(self, statement: str) -> dict[str, dict[int, int]]:
        """Topic to partition to offset."""
        found: dict[str, dict[int, int]] = {}
        for place in self.places:
            if place.statement == statement:
                found.setdefault(place.topic, {})[place.partition] = place.offset
        return found

    def record(self) -> dict[str, object]:
        """As the store keeps it: statement to topic id to partition to offset."""
        kept: dict[str, dict[str, dict[str, int]]] = {}
        for place in self.places:
            kept.setdefault(place.statement, {}).setdefault(place.topic_id, {})[str(place.partition)] = place.offset
        return dict(kept)


def refuse_unless_positioned(pipeline: str, statements: Sequence[Statement], store: Store, spool: Spool) -> None:
    """Raise SettingsError for statements whose rows could not be told apart from those already paid for.

    One that has sealed nothing yet has paid for nothing.
    """
    blind = [
        statement.name
        for statement in statements
        if statement.definition.source is None
        and (
            spool.sealed_files(pipeline, statement.name)
            or store.batches.rows(limit=1, pipeline=pipeline, statement=statement.name)
        )
    ]
    if blind:
        raise SettingsError(
            f"statement {', '.join(blind)}: its input has no positions (it is a view, or no Kafka table), so that a "
            "start without Flink state would submit, and pay for, all of it again; "
            "give --resubmit if that is what you want"
        )


def plan_finished(pipeline: str, store: Store, spool: Spool, plan: Plan, say: Callable[[str], None]) -> int:
    """Plan every finished file of the pipeline that has no plan yet, by its own definition; how many there were.

    From then on the ledger knows all that was ever sealed, also by statements that the file no longer has. A damaged
    file is left out of it: its rows are not paid for, and so they are read again.
    """
    count = 0
    for _, statement in spool.statements(pipeline):
        for file in spool.sealed_files(pipeline, statement):
            if store.plans.is_planned(file.address):
                continue
            try:
                plan(pipeline, statement, file)
                count += 1
            except SpoolError as error:
                say(f"left unplanned: {error}")
    return count


@dataclass
class Finder:
    """Finds the places of a start, asking store and brokers."""

    pipeline: str
    store: Store
    clusters: KafkaClusters
    options: Callable[[Statement], Mapping[str, str]]
    """The options of a statement's input table."""
    _firsts: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)

    def find(self, statements: Sequence[Statement]) -> Places:
        self._firsts = first_starts(self.store.lineage.runs(self.pipeline))
        return Places(tuple(place for statement in statements for place in self._of(statement)))

    def _of(self, statement: Statement) -> list[Place]:
        source, found = statement.definition.source, []
        for topic, topic_id in source.topics if source else ():
            kafka = statement.input.kafka
            client = self.clusters.client(kafka["bootstrap.servers"], kafka)
            offsets = TopicOffsets(client, topic, self.options(statement))
            try:
                marks = offsets.watermarks()
                firsts = self._firsts.get((statement.name, topic_id))
                # A partition that came later than the topic's first start is new: all of it.
                begins = (
                    offsets.startup(marks)
                    if firsts is None
                    else {partition: firsts.get(partition, mark.low) for partition, mark in marks.items()}
                )
            finally:
                offsets.close()
            found += [
                self._place(statement, topic, topic_id, n, begins[n], marks[n], is_recorded=firsts is not None)
                for n in sorted(marks)
            ]
        return found

    def _place(
        self,
        statement: Statement,
        topic: str,
        topic_id: str,
        partition: int,
        begin: int,
        mark: Watermarks,
        *,
        is_recorded: bool,
    ) -> Place:
        source = statement.definition.source
        cluster = source.cluster_id if source else ""
        paid = self.store.positions.paid(self.pipeline, statement.name, cluster, topic_id, partition)
        wanted = read_from(begin, paid, is_recorded=is_recorded)
        offset = max(wanted, mark.low)
        again = sum(end - max(start, offset) for start, end in paid if end > offset)
        return Place(statement.name, topic, topic_id, partition, offset, gone=offset - wanted, again=again)
