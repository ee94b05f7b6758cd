"""Stage 1's staging: our sealing job beside the same INSERT INTO a filesystem table as plain Flink SQL.

Both read one local topic in one JVM, with our default configuration; the jobs take turns. A rate is read off the
growth of the job's files between a tenth and nineteen twentieths of all rows, so that neither start nor end counts.
"""

import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson
from pyflink.table import StreamTableEnvironment

from deploy.demo.reviews import read_reviews
from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.ports import free_ports
from deploy.sandbox.topics import TopicSettings
from shared.definition import Definition, Source
from shared.spool import Spool
from submitter.job.configuration import defaults, embedded
from submitter.job.job import Job
from submitter.job.sealing import MAX_FILE_BYTES, Rolling
from submitter.jvm import prepare
from submitter.pipeline.flink import open_environment
from submitter.pipeline.values import Input, Statement
from tests.bench.rows import Row, interleaved, rate_row
from tests.rig import samples
from tests.rig.kafka import fill_topic

RECORDS = 500_000
ROUNDS = 5
TARGET = 0.9
FIRST, LAST = 0.1, 0.95
SAMPLE_SECONDS, QUIET_SECONDS, DEADLINE = 0.02, 2.0, 120.0
ROLLING = Rolling(max_age=900.0, max_bytes=MAX_FILE_BYTES, bounded=False)


def main() -> list[Row]:
    """One row: records staged a second, ours and plain."""
    prepare()
    with tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder, LocalBroker() as broker:
        broker.create_topics({"reviews": TopicSettings(partitions=2)})
        fill_topic(broker.bootstrap, "reviews", _records(RECORDS))
        bench = _Bench(Path(folder), broker.bootstrap)
        # One run each for the JVM's compiler.
        bench.ours(), bench.plain()
        rates = interleaved({"ours": bench.ours, "plain": bench.plain}, ROUNDS)
    return [
        rate_row("stage 1: records sealed, against plain Flink SQL", rates["ours"], rates["plain"], "records", TARGET)
    ]


class _Bench:
    def __init__(self, folder: Path, bootstrap: str) -> None:
        self._folder, self._bootstrap = folder, bootstrap
        self._runs = 0

    def ours(self) -> float:
        folder, tables = self._begin()
        statement = _statement()
        job = Job(tables, Spool(f"file://{folder}/spool"), tables.create_statement_set())
        job.seal(statement, {})
        return _rate(job.execute(), folder / "spool")

    def plain(self) -> float:
        folder, tables = self._begin()
        options = {"connector": "filesystem", "path": f"file://{folder}/plain", "format": "json", **ROLLING.options()}
        told = ", ".join(f"'{name}' = '{value}'" for name, value in options.items())
        tables.execute_sql(f"CREATE TABLE plain (review_id STRING, review STRING) WITH ({told})")
        done = tables.execute_sql("INSERT INTO plain SELECT review_id, review FROM reviews")
        return _rate(done.get_job_client(), folder / "plain")

    def _begin(self) -> tuple[Path, StreamTableEnvironment]:
        """A new folder, and a table environment with the user's table."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        (port,) = free_ports(1)
        options = {**defaults("bench", f"file://{folder}/checkpoints"), **embedded(port)}
        tables = open_environment({**options, "execution.checkpointing.interval": "1 s"})
        tables.execute_sql(
            "CREATE TABLE reviews (review_id STRING, review STRING, stars INT) WITH ('connector' = 'kafka',"
            f" 'topic' = 'reviews', 'properties.bootstrap.servers' = '{self._bootstrap}', 'format' = 'json',"
            " 'scan.startup.mode' = 'earliest-offset')"
        )
        return folder, tables


def _statement() -> Statement:
    stated: Definition = samples.definition(source=Source(cluster_id="cluster", topics=(("reviews", "topic-id"),)))
    identifier = "`default_catalog`.`default_database`.`reviews`"
    read = Input(identifier=identifier, view=False, connector="kafka", topics=("reviews",))
    return Statement(name=stated.statement, line=1, definition=stated, input=read, sink=identifier)


def _rate(client: Any, folder: Path) -> float:
    """Records a second, once every row is in the files; the job is cancelled then."""
    try:
        samples_seen = _grown(folder)
    finally:
        client.cancel().result()
    rows = sum(path.read_bytes().count(b"\n") for path in _files(folder))
    assert rows == RECORDS, f"{rows:,} rows lie in {folder}, not {RECORDS:,}"
    final = samples_seen[-1][1]
    return RECORDS * (LAST - FIRST) / (_when(samples_seen, final * LAST) - _when(samples_seen, final * FIRST))


def _grown(folder: Path) -> list[tuple[float, int]]:
    """(time, bytes) while the files grow, until they have not for a while (checkpoints flush what is buffered)."""
    seen: list[tuple[float, int]] = []
    pause, begin = threading.Event(), time.perf_counter()
    changed = begin
    while True:
        now, size = time.perf_counter(), sum(path.stat().st_size for path in _files(folder))
        if not seen or size != seen[-1][1]:
            changed = now
        seen.append((now, size))
        if size and now - changed > QUIET_SECONDS:
            return seen
        assert now - begin < DEADLINE, f"{size:,} bytes were staged in {DEADLINE:.0f} s"
        pause.wait(SAMPLE_SECONDS)


def _when(seen: list[tuple[float, int]], size: float) -> float:
    """The moment at which so many bytes lay there, interpolated."""
    after = bisect_left(seen, size, key=lambda sample: sample[1])
    (early, fewer), (late, more) = seen[after - 1], seen[after]
    return early + (late - early) * (size - fewer) / (more - fewer)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*part-*") if path.is_file()]


def _records(count: int) -> Iterator[bytes]:
    reviews = cycle([(review.text, review.rating) for review in read_reviews()])
    for number, (text, rating) in enumerate(islice(reviews, count)):
        yield orjson.dumps({"review_id": str(number), "review": text, "stars": round(rating / 2) + 3})
