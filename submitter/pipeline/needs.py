"""What was read of a pipeline, put together: what it relies on, and all of it. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from submitter.pipeline.values import Needs, Pipeline, PlainInsert, Settings, Statement, Topics

SERVERS = "bootstrap.servers"


def needs_of(file: Path, settings: Mapping[str, Any], topics: Sequence[Topics]) -> Needs:
    """What is relied on; the batches topic lies on the first sink's cluster unless a setting says another."""
    written = [each.kafka for each in topics if not each.is_input]
    servers = settings.get("bootstrap-servers") or next((kafka[SERVERS] for kafka in written), None)
    known = next((kafka for kafka in written if kafka[SERVERS] == servers), {})
    return Needs(file, settings, tuple(topics), {**known, SERVERS: servers} if servers else {})


def pipeline_of(
    needs: Needs,
    settings: Settings,
    flink: Mapping[str, str],
    statements: Sequence[Statement],
    plain: Sequence[PlainInsert] = (),
) -> Pipeline:
    """The pipeline."""
    kafka = dict(needs.batches_kafka)
    return Pipeline(
        file=needs.file,
        settings=settings,
        bootstrap_servers=kafka.pop(SERVERS, ""),
        batches_kafka=kafka,
        flink=flink,
        statements=tuple(statements),
        plain=tuple(plain),
    )
