"""A start without Flink state: plan what is finished, then read on from the end of the ledger's contiguous prefix."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shared.errors import SettingsError, SpoolError
from shared.kafka import KafkaClusters
from shared.spool import SealedFile, Spool
from shared.store import Store
from submitter.lineage.lineage import first_starts, read_from
from submitter.lineage.offsets import TopicOffsets, Watermarks
from submitter.pipeline.values import PlainInsert, Statement

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


def blind(pipeline: str, statements: Sequence[Statement], store: Store, spool: Spool) -> list[str]:
    """The statements whose rows can't be told apart from those already paid for.

    One that has sealed nothing yet has paid for nothing.
    """
    return [
        statement.name
        for statement in statements
        if statement.definition.source is None
        and (
            spool.sealed_files(pipeline, statement.name)
            or store.batches.rows(limit=1, pipeline=pipeline, statement=statement.name)
        )
    ]


def anew(plain: Sequence[PlainInsert]) -> list[str]:
    """What is to be said of plain INSERTs that start without Flink state: nothing else had their places."""
    return [
        f"warning: the plain INSERT INTO {each.sink} (line {each.line}) begins anew, where its own tables' startup "
        "modes say: rows that it wrote before may come again, and rows since then be left out"
        for each in plain
    ]


def cut_short(arrays: Sequence[str]) -> list[str]:
    """What is to be said of a start without Flink state where one record gives several rows; `arrays`: statements."""
    return [
        f"warning: {name} was sent more rows than its positions count: where records give several rows each (JSON "
        "arrays), one that is paid for in part is not read again: compare the last one before each position with what "
        "came out of it, and produce again what stood in an unfinished file and is missing"
        for name in arrays
    ]


def admit(blind: Sequence[str], positioned: Sequence[str], *, resubmit: bool) -> list[str]:
    """What is to be said of a start without Flink state that pays again, or of --resubmit where it does not.

    Raises SettingsError where it would pay again, and nobody has said that it may.
    """
    if blind and not resubmit:
        raise SettingsError(
            f"statement {', '.join(blind)}: its input has no positions (it is a view, or no Kafka table), so that a "
            "start without Flink state would submit, and pay for, all of it again; "
            "give --resubmit if that is what you want (to predict in Python: the setting batchline.resubmit = true)"
        )
    said = []
    if blind:
        said.append(
            f"--resubmit: the input of {', '.join(blind)} has no positions: all that it reads from here on is sent and "
            "paid for, also what was before, and comes out again"
        )
    if resubmit and positioned:
        said.append(
            f"--resubmit changes nothing for {', '.join(positioned)}: its records have positions, and those that are "
            "paid for are skipped; to pay for them again on purpose, give the pipeline another name"
        )
    return said


def way_out(blind: Sequence[str]) -> str:
    """What to do when Flink can't restore a state."""
    if not blind:
        return "run again with --fresh: it starts from positions, loses nothing and pays for nothing twice"
    return (
        "name an older state with -D execution.state-recovery.path=…, or run again with --fresh --resubmit: the input "
        f"of {', '.join(blind)} has no positions, so that all of it is then sent and paid for again"
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
    recreated: Collection[tuple[str, str]] = ()
    """(statement, topic) of each that was deleted and created again: everything in it is new, as in a new partition.

    Offsets that its group has committed since may be those of the former topic's readers.
    """
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
                if firsts is None and (statement.name, topic) in self.recreated:
                    firsts = {}
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
