"""A bounded sample of a statement's input, read by Flink as the job would: so many rows, so long. It leaves no trace.

Of a Kafka table the newest records are read, up to offsets that are asked for beforehand: no consumer group is joined
and none's offsets are used. What else there is, is read from its beginning.
"""

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JError
from pyflink.table import StreamTableEnvironment

from shared.errors import BatchlineError, SettingsError
from shared.kafka import KafkaClusters
from submitter.job.configuration import embedded
from submitter.job.rest import root_cause
from submitter.job.sealing import Branch, Positioned, Rolling, sealed_ddl, specific_offsets
from submitter.job.user_table import UserTable
from submitter.lineage.offsets import TopicOffsets, Watermarks
from submitter.pipeline.values import Statement
from submitter.sql import INTERNAL, quote

_READ = ("scan.startup.", "scan.bounded.", "properties.group.id", "properties.auto.offset.reset")
_MAX_BYTES = 64 << 20
_SETTLE_SECONDS = 5.0


class SampleFailed(BatchlineError):
    """Flink could not read the input; the message has its reason."""


@dataclass(frozen=True)
class Sample:
    """Rows, as lines of sealed files."""

    lines: tuple[bytes, ...]
    records: int | None
    """All that the input holds; None where nobody knows."""


def take(
    tables: StreamTableEnvironment, statement: Statement, clusters: KafkaClusters, folder: Path, rows: int, wait: float
) -> Sample:
    """At most so many rows, within so many seconds. Raises SampleFailed, KafkaUnavailable."""
    table = UserTable(tables, statement.input.identifier)
    columns = [(column.name, table.types[column.name]) for column in statement.definition.row]
    total: int | None = None
    if statement.input.topics:
        selects = []
        total = 0
        for number, topic in enumerate(statement.input.topics):
            marks = _marks(clusters, statement, topic, table.options())
            total += sum(mark.high - mark.low for mark in marks.values())
            derived = _newest(f"{INTERNAL}sample_{uuid4().hex}_{number}", statement, table, topic, marks, rows)
            tables.execute_sql(derived.ddl())
            selects.append(Branch(quote(derived.name)).select([name for name, _ in columns]))
        query = " UNION ALL ".join(selects)
    else:
        chosen = Branch(statement.input.identifier).select([name for name, _ in columns])
        query = f"{chosen} LIMIT {rows}"
    lines, has_ended = _run(tables, query, columns, folder, rows, wait)
    if total is None and has_ended and len(lines) < rows:
        total = len(lines)
    return Sample(tuple(lines[:rows]), total)


def _marks(
    clusters: KafkaClusters, statement: Statement, topic: str, options: Mapping[str, str]
) -> dict[int, Watermarks]:
    """From where the table begins to read, to the end; one that begins at the end is taken from its first record."""
    kafka = dict(statement.input.kafka)
    asked = TopicOffsets(clusters.client(kafka.pop("bootstrap.servers"), kafka), topic, options)
    try:
        marks = asked.watermarks()
        begin = {partition: mark.low for partition, mark in marks.items()}
        if options.get("scan.startup.mode", "group-offsets") != "latest-offset":
            with suppress(SettingsError):
                begin = asked.startup(marks)
        return {partition: Watermarks(max(begin[partition], mark.low), mark.high) for partition, mark in marks.items()}
    finally:
        asked.close()


def _newest(
    name: str, statement: Statement, table: UserTable, topic: str, marks: Mapping[int, Watermarks], rows: int
) -> Positioned:
    """One topic's newest records, a share of each partition."""
    share = -(-rows // max(len(marks) * len(statement.input.topics), 1))
    start = {partition: max(mark.low, mark.high - share) for partition, mark in marks.items()}
    stop = {partition: mark.high for partition, mark in marks.items()}
    kept = {key: value for key, value in table.options_without_topics().items() if not key.startswith(_READ)}
    bounded = {key.replace("scan.startup", "scan.bounded"): value for key, value in specific_offsets(stop).items()}
    group = {"properties.group.id": name, "properties.enable.auto.commit": "false"}
    options = {**kept, "topic": topic, **specific_offsets(start), **bounded, **group}
    return Positioned(name, statement.input.identifier, options, {})


def _run(
    tables: StreamTableEnvironment,
    query: str,
    columns: list[tuple[str, str]],
    folder: Path,
    rows: int,
    wait: float,
) -> tuple[list[bytes], bool]:
    """The rows of a query, as they are sealed; and whether it came to its end."""
    sink = f"{INTERNAL}sampled_{uuid4().hex}"
    rolling = Rolling(1.0, _MAX_BYTES, bounded=True)
    tables.execute_sql(sealed_ddl(sink, columns, folder.as_uri(), rolling))
    settings = {
        **embedded(_free_port()),
        "execution.target": "local",
        "execution.runtime-mode": "STREAMING",
        "execution.checkpointing.interval": "500 ms",
        "parallelism.default": "1",
        "pipeline.name": "batchline sample",
    }
    for name, value in settings.items():
        tables.get_config().set(name, value)
    try:
        client = tables.execute_sql(f"INSERT INTO {quote(sink)} {query}").get_job_client()
        result: Any = client.get_job_execution_result()
        has_ended = _await(result, folder, rows, wait)
        if has_ended:
            result.result()
        else:
            with suppress(Py4JError):
                client.cancel().result()
    except Exception as error:
        raise SampleFailed(f"Flink can't read the input: {root_cause(str(error))}") from error
    return _lines(folder), has_ended


def _await(result: Any, folder: Path, rows: int, wait: float) -> bool:
    """Until the job has ended (True), enough is there, or the time is up: then for what is written to be committed."""
    never, end = threading.Event(), time.monotonic() + wait
    while time.monotonic() < end:
        if result.done():
            return True
        if len(_lines(folder)) >= rows:
            return False
        never.wait(0.1)
    before = len(_lines(folder))
    end = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < end and len(_lines(folder)) == before and not result.done():
        never.wait(0.1)
    return bool(result.done())


def _lines(folder: Path) -> list[bytes]:
    """What is committed: files in progress have a dot before their names."""
    files = sorted(file for file in folder.glob("*") if file.is_file() and not file.name.startswith((".", "_")))
    return [line for file in files for line in file.read_bytes().splitlines(keepends=True)]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
