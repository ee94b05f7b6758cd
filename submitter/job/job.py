"""The Flink job, in the order in which records flow: seal each statement's rows, tick, submit, announce."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyflink.common import Types
from pyflink.table import StatementSet, StreamTableEnvironment

from shared.messages import BATCHES_TOPIC
from shared.providers.profiles import profile_for
from shared.spool import Spool
from submitter.job.operators import Announcer, Submit, event_type
from submitter.job.sealing import (
    EVENTS,
    MAX_FILE_BYTES,
    Branch,
    Positioned,
    Rolling,
    endless_ddl,
    event_ddl,
    insert,
    sealed_ddl,
    specific_offsets,
    tick_ddl,
    ticks,
)
from submitter.job.user_table import UserTable
from submitter.pipeline.values import PlainInsert, Statement
from submitter.sql import INTERNAL, free_name, quote

Starts = Mapping[str, Mapping[int, int]]
"""Topic to partition to the offset that a read starts from."""


@dataclass(frozen=True)
class Announcements:
    """Where batch events go."""

    bootstrap_servers: str
    topic: str = BATCHES_TOPIC
    properties: Mapping[str, str] = field(default_factory=dict)
    """More options `properties.*` of Flink's Kafka connector."""


class Job:
    """Adds batchline's part to a table environment in which FILE.sql's own tables stand."""

    def __init__(
        self,
        tables: StreamTableEnvironment,
        spool: Spool,
        statements: StatementSet,
        *,
        first: int = 0,
        uid: str = "submit",
    ) -> None:
        """Where others were added before, `first` is the first number that is free, and `uid` its operator's own."""
        self._tables, self._spool, self._statements = tables, spool, statements
        self._count, self._uid, self._events = first, uid, f"{EVENTS}_{first}" if first else EVENTS
        self.settled_after = 0.0
        """Seconds after the end of every bounded source by which each last file is closed."""

    def seal(self, statement: Statement, starts: Starts) -> None:
        """Stage a statement's rows, read from `starts` where they have positions."""
        self._tables.execute_sql(endless_ddl())
        definition, number = statement.definition, self._count
        table = UserTable(self._tables, statement.input.identifier)
        columns = [(column.name, table.types[column.name]) for column in definition.row]
        limits = (definition.batch.max_bytes, profile_for(definition.model).max_bytes, MAX_FILE_BYTES)
        rolling = Rolling(definition.batch.max_age, min(n for n in limits if n), statement.input.bounded)
        if rolling.bounded:
            self.settled_after = max(self.settled_after, rolling.settled_after)
        address = self._spool.sealed(definition.pipeline, definition.statement, definition.hash)
        sealed = f"{INTERNAL}sealed_{number}"
        self._tables.execute_sql(sealed_ddl(sealed, columns, f"{self._spool.files.url}/{address}", rolling))
        branches = self._branches(statement, table, starts)
        self._statements.add_insert_sql(insert(sealed, columns, branches))
        self._count += 1

    def submit(self, statements: Sequence[str], open_desk: Callable[[], Announcer], to: Announcements) -> None:
        """Tick, submit beside the operator, and announce."""
        self._tables.execute_sql(tick_ddl())
        self._tables.execute_sql(event_ddl(self._events, to.bootstrap_servers, to.topic, to.properties))
        named = self._tables.sql_query(ticks(statements))
        events = (
            self._tables.to_data_stream(named)
            .key_by(lambda tick: tick[0], key_type=Types.STRING())
            .process(Submit(open_desk), event_type())
            .uid(self._uid)
            .name(self._uid)
            .set_parallelism(1)
        )
        self._statements.add_insert(self._events, self._tables.from_data_stream(events))

    def insert(self, plain: PlainInsert) -> None:
        """One of the file's plain INSERTs, as it is, with the catalog and database that were in use there."""
        self._tables.use_catalog(plain.catalog)
        self._tables.use_database(plain.database)
        self._statements.add_insert_sql(plain.sql)

    def execute(self) -> Any:
        """Start it; gives Flink's job client."""
        return self._statements.execute().get_job_client()

    def explain(self) -> str:
        """Flink's plan of all of it."""
        return str(self._statements.explain())

    def _branches(self, statement: Statement, table: UserTable, starts: Starts) -> list[Branch]:
        """One derived table for each topic: Kafka's connector takes offsets for one topic only."""
        declared, identifier = statement.input.metadata, statement.input.identifier
        if statement.definition.source is None:
            return [Branch(identifier)]
        missing = {
            free_name(INTERNAL + key, [*table.types]): key for key in ("partition", "offset") if key not in declared
        }
        named = {**declared, **{key: name for name, key in missing.items()}}
        branches = []
        for index, (topic, _) in enumerate(statement.definition.source.topics):
            options = {**table.options_without_topics(), "topic": topic}
            if topic in starts:
                options = {name: value for name, value in options.items() if not name.startswith("scan.startup.")}
                options |= specific_offsets(starts[topic])
            positioned = Positioned(f"{INTERNAL}topic_{self._count}_{index}", identifier, options, missing)
            self._tables.execute_sql(positioned.ddl())
            branches.append(Branch(quote(positioned.name), index, named["partition"], named["offset"]))
        return branches
