"""The Flink job, in the order in which records flow: seal each statement's rows, tick, submit, announce; plain INSERTs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyflink.common import Types
from pyflink.java_gateway import get_gateway
from pyflink.table import StatementSet, StreamTableEnvironment

from shared.definition import Definition
from shared.messages import BATCHES_TOPIC
from shared.spool import Spool
from submitter.operators import Announcer, Submit, event_type
from submitter.sealing import (
    MAX_FILE_BYTES,
    Branch,
    Positioned,
    Rolling,
    endless_ddl,
    free_name,
    insert,
    literal,
    quote,
    sealed_ddl,
    specific_offsets,
)

TICKS, EVENTS = "__batchline_ticks", "__batchline_events"
TICKS_PER_SECOND = 2
INTERNAL = "__batchline_"
"""The prefix of every name that we add to the user's catalog."""

Starts = Mapping[str, Mapping[int, int]]
"""Topic to partition to the offset that a read starts from."""


@dataclass(frozen=True)
class Feed:
    """One statement's way into the job."""

    definition: Definition
    input: str
    """The path of the table or view that ML_PREDICT reads, quoted."""
    starts: Starts = field(default_factory=dict)
    max_bytes: int = MAX_FILE_BYTES


@dataclass(frozen=True)
class Announcements:
    """Where batch events go."""

    bootstrap_servers: str
    topic: str = BATCHES_TOPIC
    properties: Mapping[str, str] = field(default_factory=dict)
    """More properties of Flink's Kafka client."""

    def ddl(self) -> str:
        options = {
            "connector": "kafka",
            "topic": self.topic,
            "properties.bootstrap.servers": self.bootstrap_servers,
            **{f"properties.{name}": value for name, value in self.properties.items()},
            "key.format": "raw",
            "key.fields": "batch_key",
            "value.format": "raw",
            "value.fields-include": "EXCEPT_KEY",
            "sink.delivery-guarantee": "at-least-once",
            "sink.parallelism": "1",
        }
        listed = ", ".join(f"{literal(name)} = {literal(value)}" for name, value in options.items())
        return f"CREATE TEMPORARY TABLE {EVENTS} (batch_key STRING, event STRING) WITH ({listed})"


class Job:
    """Adds batchline's part to a table environment in which FILE.sql's own tables stand."""

    def __init__(self, tables: StreamTableEnvironment, spool: Spool) -> None:
        self._tables, self._spool = tables, spool
        self._statements: StatementSet = tables.create_statement_set()
        self.settled_after = 0.0
        """Seconds after the end of every bounded source by which each last file is closed."""

    def seal(self, feeds: Iterable[Feed]) -> None:
        """Stage each statement's rows."""
        self._tables.execute_sql(endless_ddl())
        for number, feed in enumerate(feeds):
            self._seal(number, feed)

    def submit(self, statements: Sequence[str], open_desk: Callable[[], Announcer], to: Announcements) -> None:
        """Tick, submit beside the operator, and announce."""
        self._tables.execute_sql(
            f"CREATE TEMPORARY TABLE {TICKS} (tick BIGINT) WITH ('connector' = 'datagen',"
            f" 'rows-per-second' = '{TICKS_PER_SECOND}', 'scan.parallelism' = '1')"
        )
        self._tables.execute_sql(to.ddl())
        # One branch each over one shared source: a join with the list of names would keep every tick in its state.
        ticks = self._tables.sql_query(
            " UNION ALL ".join(f"SELECT CAST({literal(name)} AS STRING) AS name FROM {TICKS}" for name in statements)
        )
        events = (
            self._tables.to_data_stream(ticks)
            .key_by(lambda tick: tick[0], key_type=Types.STRING())
            .process(Submit(open_desk), event_type())
            .uid("submit")
            .name("submit")
            .set_parallelism(1)
        )
        self._statements.add_insert(EVENTS, self._tables.from_data_stream(events))

    def insert(self, statements: Iterable[str]) -> None:
        """The file's plain INSERTs, as they are."""
        for statement in statements:
            self._statements.add_insert_sql(statement)

    def execute(self) -> Any:
        """Start it; gives Flink's job client."""
        return self._statements.execute().get_job_client()

    def explain(self) -> str:
        """Flink's plan of all of it."""
        return str(self._statements.explain())

    def _seal(self, number: int, feed: Feed) -> None:
        definition = feed.definition
        user_table = _UserTable(self._tables, feed.input)
        columns = [(column.name, user_table.types[column.name]) for column in definition.row]
        rolling = Rolling(definition.batch.max_age, feed.max_bytes, user_table.bounded())
        if rolling.bounded:
            self.settled_after = max(self.settled_after, rolling.settled_after)
        address = self._spool.path(
            self._spool.sealed(definition.pipeline, definition.statement, definition.hash)
        ).as_uri()
        sealed = f"{INTERNAL}sealed_{number}"
        self._tables.execute_sql(sealed_ddl(sealed, columns, address, rolling))
        branches = self._branches(number, feed, user_table)
        self._statements.add_insert_sql(insert(sealed, columns, branches))

    def _branches(self, number: int, feed: Feed, user_table: "_UserTable") -> list[Branch]:
        source = feed.definition.source
        if source is None:
            return [Branch(feed.input)]
        declared = user_table.metadata()
        missing = {free_name(INTERNAL + key, [*user_table.types]): key for key in ("partition", "offset")
                   if key not in declared}
        named = {**declared, **{key: name for name, key in missing.items()}}
        options = user_table.options()
        branches = []
        for index, (topic, _) in enumerate(source.topics):
            start = feed.starts.get(topic)
            begin = specific_offsets(start) if start else {
                name: value for name, value in user_table.options(startup=True).items() if name not in options
            }
            positioned = Positioned(
                f"{INTERNAL}topic_{number}_{index}", feed.input, {**options, "topic": topic, **begin}, missing
            )
            self._tables.execute_sql(positioned.ddl())
            branches.append(Branch(quote(positioned.name), index, named["partition"], named["offset"]))
        return branches


class _UserTable:
    """A table or view of the user's, as the catalog knows it."""

    def __init__(self, tables: StreamTableEnvironment, path: str) -> None:
        self._tables = tables
        self._table = tables.sql_query(f"SELECT * FROM {path}")
        manager = tables._j_tenv.getCatalogManager()  # noqa: SLF001 - PyFlink has no way of its own to a table's options
        identifier = manager.qualifyIdentifier(tables._j_tenv.getParser().parseIdentifier(path))  # noqa: SLF001
        self._resolved = manager.getTableOrError(identifier)
        columns = self._resolved.getResolvedSchema().getColumns()
        self.types: dict[str, str] = {
            column.getName(): str(column.getDataType().getLogicalType().asSerializableString()) for column in columns
        }

    def metadata(self) -> dict[str, str]:
        """The metadata columns that it declares: metadata key to column."""
        columns = self._resolved.getResolvedSchema().getColumns()
        return {
            str(column.getMetadataKey().orElse(column.getName())): str(column.getName())
            for column in columns
            if column.getClass().getSimpleName() == "MetadataColumn"
        }

    def options(self, *, startup: bool = False) -> dict[str, str]:
        """Its options, without those that name topics and, unless `startup`, those that say where to start."""
        options = {str(name): str(value) for name, value in dict(self._resolved.getTable().getOptions()).items()}
        dropped = ("topic", "topic-pattern")
        return {
            name: value
            for name, value in options.items()
            if name not in dropped and (startup or not name.startswith("scan.startup."))
        }

    def bounded(self) -> bool:
        """Whether every source below it ends by itself."""
        loader = get_gateway().jvm.java.lang.Class
        kind = loader.forName("org.apache.flink.streaming.api.transformations.WithBoundedness")
        stream = self._tables._j_tenv.toDataStream(self._table._j_table)  # noqa: SLF001
        sources = [each for each in stream.getTransformation().getTransitivePredecessors() if kind.isInstance(each)]
        return all(str(source.getBoundedness()) == "BOUNDED" for source in sources)
