"""What a file says, read and validated: the pipeline, its statements, its plain queries. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.definition import Definition
from submitter.pipeline.faults import Fault, Place


@dataclass(frozen=True)
class Settings:
    """The `batchline.*` settings of a file, and of the environment where the file says nothing."""

    name: str
    spool: str
    shared_spool: bool
    state_store: str = field(repr=False)
    """With its password, if it has one; never written anywhere."""
    state_store_reference: str
    """As the file says it, with `${NAME}` for what comes from the environment; safe to pass on."""
    bootstrap_servers: str | None
    batches_topic: str
    quarantine: float | None
    """Seconds; None where it is not stated."""
    retention: float | None
    """Seconds; None where it is not stated: the poller's holds."""
    kafka_config: Path | None
    max_cost_per_day: float | None = None
    """US dollars."""


@dataclass(frozen=True)
class Input:
    """The table or view that ML_PREDICT reads."""

    identifier: str
    """Qualified and quoted: `catalog`.`database`.`table`."""
    view: bool
    connector: str | None
    """None of a view."""
    topics: tuple[str, ...] = ()
    """The Kafka topics, in the order of a position's first number; empty where the input has no positions."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The metadata columns that it declares: metadata key to column."""
    bounded: bool = False
    """Whether all that it reads ends by itself."""
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    """librdkafka properties of its cluster, with bootstrap.servers; secrets in them as the file has them."""


@dataclass(frozen=True)
class Effective:
    """An option that holds for a statement."""

    name: str
    value: str
    """As the file has it: a reference in place of what the environment gives."""
    origin: str
    """Who said so: `query, line 7`, `model, line 3`, `default`."""


@dataclass(frozen=True)
class Statement:
    """One `INSERT INTO sink SELECT … FROM ML_PREDICT(…)`."""

    name: str
    line: int
    definition: Definition
    input: Input
    sink: str
    """The sink table's identifier, qualified and quoted."""
    options: tuple[Effective, ...] = ()


@dataclass(frozen=True)
class PlainInsert:
    """An INSERT that Flink runs by itself."""

    sql: str = field(repr=False)
    """As the file says it, with the environment's values in its literals."""
    line: int
    sink: str
    """The sink table's identifier, qualified and quoted."""
    catalog: str
    """The catalog and the database that were in use where it stands: unqualified names belong there."""
    database: str
    bounded: bool


@dataclass(frozen=True)
class Topics:
    """Topics that a statement relies on, and how their cluster is reached."""

    place: Place
    names: tuple[str, ...]
    kafka: Mapping[str, str] = field(repr=False)
    """librdkafka properties, with bootstrap.servers; secrets stand as the file has them."""
    is_input: bool = False


@dataclass(frozen=True)
class Needs:
    """What a file relies on, as far as it could be read, whatever else is wrong with it."""

    file: Path
    settings: Mapping[str, Any]
    """Those that can be used, by their names without the prefix."""
    topics: tuple[Topics, ...]
    batches_kafka: Mapping[str, str] = field(repr=False)
    """librdkafka properties of the batches topic's cluster; empty where it is not known."""


@dataclass(frozen=True)
class Pipeline:
    """A file, read."""

    file: Path
    """Absolute; its identity in the store."""
    settings: Settings
    bootstrap_servers: str
    """Of the batches topic's cluster."""
    batches_kafka: Mapping[str, str]
    """More librdkafka properties for that cluster; secrets stand as `${NAME}`."""
    flink: Mapping[str, str] = field(repr=False)
    """Every other SET, in force at the file's end; with the environment's values."""
    statements: tuple[Statement, ...]
    plain: tuple[PlainInsert, ...]
    warnings: tuple[Fault, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether all of its input ends by itself."""
        return all(each.input.bounded for each in self.statements) and all(each.bounded for each in self.plain)

    @property
    def name(self) -> str:
        return self.settings.name
