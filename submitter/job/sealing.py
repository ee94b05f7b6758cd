"""The SQL of the job: positioned tables, the endless empty source, the staging sink, ticks, events. No I/O.

Every text here is built from names and types that Flink's own catalog gave, never from the text of FILE.sql.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from submitter.sql import INTERNAL, literal, quote

ENDLESS, TICKS, EVENTS = f"{INTERNAL}endless", f"{INTERNAL}ticks", f"{INTERNAL}events"
TICKS_PER_SECOND = 2
SETTLING_SECONDS = 3.0
"""A bounded statement's file is closed when it has taken no row for so long; nothing else would close its last one."""
CHECK_SECONDS = 0.5
MAX_FILE_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class Rolling:
    """When a file in progress is closed. Times in seconds."""

    max_age: float
    max_bytes: int
    bounded: bool

    def options(self) -> dict[str, str]:
        """The filesystem connector's own options."""
        inactive = min(SETTLING_SECONDS, self.max_age) if self.bounded else self.max_age
        return {
            "sink.rolling-policy.rollover-interval": _duration(self.max_age),
            "sink.rolling-policy.inactivity-interval": _duration(inactive),
            "sink.rolling-policy.check-interval": _duration(min(CHECK_SECONDS, self.max_age / 10)),
            "sink.rolling-policy.file-size": f"{self.max_bytes} b",
        }

    @property
    def settled_after(self) -> float:
        """Seconds after a bounded source's end by which its last file is closed."""
        return min(SETTLING_SECONDS, self.max_age) + min(CHECK_SECONDS, self.max_age / 10)


@dataclass(frozen=True)
class Positioned:
    """One topic of an input, as a table derived from the user's."""

    name: str
    like: str
    """The user's table, quoted."""
    options: Mapping[str, str]
    """The user's, less those that name topics and where to start."""
    metadata: Mapping[str, str]
    """The columns that the user's table doesn't declare: name to metadata key."""

    def ddl(self) -> str:
        types = {"partition": "INT", "offset": "BIGINT"}
        columns = [
            f"{quote(column)} {types[key]} METADATA FROM {literal(key)} VIRTUAL"
            for column, key in self.metadata.items()
        ]
        schema = f" ({', '.join(columns)})" if columns else ""
        return (
            f"CREATE TEMPORARY TABLE {quote(self.name)}{schema} WITH ({_options(self.options)})"
            f" LIKE {self.like} (EXCLUDING OPTIONS)"
        )


@dataclass(frozen=True)
class Branch:
    """One table that a statement's rows come from, with its place among the topics; None where it has no positions."""

    table: str
    topic: int | None = None
    partition: str = ""
    offset: str = ""

    def select(self, columns: Sequence[str]) -> str:
        row = f"ROW({', '.join(quote(column) for column in columns)})"
        if self.topic is None:
            return f"SELECT {row}, CAST(NULL AS ARRAY<BIGINT>) FROM {self.table}"  # noqa: S608 - quoted
        numbers = f"CAST({quote(self.partition)} AS BIGINT), CAST({quote(self.offset)} AS BIGINT)"
        return f"SELECT {row}, ARRAY[CAST({self.topic} AS BIGINT), {numbers}] FROM {self.table}"  # noqa: S608 - quoted


def endless_ddl() -> str:
    """The source without rows and without an end: its rows never pass a filter that the planner can't decide."""
    options = {
        "connector": "datagen",
        "rows-per-second": "1",
        "fields.never.min": "0",
        "fields.never.max": "9",
        "scan.parallelism": "1",
    }
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {quote(ENDLESS)} (never INT) WITH ({_options(options)})"


def sealed_ddl(name: str, columns: Sequence[tuple[str, str]], address: str, rolling: Rolling) -> str:
    """The staging sink: JSON lines of a row and its position, below `address` (a URL)."""
    options = {
        "connector": "filesystem",
        "path": address,
        "format": "json",
        "json.encode.decimal-as-plain-number": "true",
        "json.timestamp-format.standard": "SQL",
        "json.map-null-key.mode": "LITERAL",
        "json.map-null-key.literal": "null",
        **rolling.options(),
    }
    return (
        f"CREATE TEMPORARY TABLE {quote(name)} (`row` {row_type(columns)}, `position` ARRAY<BIGINT>)"
        f" WITH ({_options(options)})"
    )


def insert(sealed: str, columns: Sequence[tuple[str, str]], branches: Sequence[Branch]) -> str:
    """The sealing query: every branch, and the endless one that keeps the writer from the end of its input."""
    selects = [branch.select([name for name, _ in columns]) for branch in branches]
    none = f"CAST(NULL AS {row_type(columns)}), CAST(NULL AS ARRAY<BIGINT>)"
    nothing = f"SELECT {none} FROM {quote(ENDLESS)} WHERE never < 0"  # noqa: S608 - quoted
    return f"INSERT INTO {quote(sealed)} " + " UNION ALL ".join([*selects, nothing])


def tick_ddl() -> str:
    """The clock of the submit operator."""
    options = {"connector": "datagen", "rows-per-second": str(TICKS_PER_SECOND), "scan.parallelism": "1"}
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {quote(TICKS)} (tick BIGINT) WITH ({_options(options)})"


def ticks(statements: Sequence[str]) -> str:
    """A row with each statement's name at each tick.

    One branch each over one shared source: a join with the list of names would keep every tick in its state.
    """
    return " UNION ALL ".join(
        f"SELECT CAST({literal(name)} AS STRING) AS name FROM {quote(TICKS)}"  # noqa: S608 - quoted
        for name in statements
    )


def event_ddl(name: str, bootstrap_servers: str, topic: str, properties: Mapping[str, str]) -> str:
    """The batches topic as a sink; `properties` are further options of the connector."""
    options = {
        **properties,
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": bootstrap_servers,
        "key.format": "raw",
        "key.fields": "batch_key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": "at-least-once",
        "sink.parallelism": "1",
    }
    return f"CREATE TEMPORARY TABLE {quote(name)} (batch_key STRING, event STRING) WITH ({_options(options)})"


def row_type(columns: Sequence[tuple[str, str]]) -> str:
    """ROW<…> of (name, type as Flink prints it)."""
    return f"ROW<{', '.join(f'{quote(name)} {kind}' for name, kind in columns)}>"


def specific_offsets(offsets: Mapping[int, int]) -> dict[str, str]:
    """The Kafka connector's options for a start at these offsets, by partition."""
    places = ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(offsets.items()))
    return {"scan.startup.mode": "specific-offsets", "scan.startup.specific-offsets": places}


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(name)} = {literal(value)}" for name, value in options.items())


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))} ms"
