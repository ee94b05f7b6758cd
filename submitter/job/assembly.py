"""A read pipeline and a start, put together into the Flink job that runs them; the same here and on a cluster."""

import os
from collections.abc import Mapping
from functools import partial

from pyflink.table import StreamTableEnvironment

from shared.recovery import QUARANTINE
from shared.spool import Spool
from submitter.desk.errand import Errand, Opening
from submitter.desk.process import DeskProcess
from submitter.desk.topic_guard import watched
from submitter.job.configuration import STATES, Start
from submitter.job.job import Announcements, Job
from submitter.job.user_table import UserTable
from submitter.pipeline.values import Pipeline


def assemble(tables: StreamTableEnvironment, pipeline: Pipeline, start: Start) -> Job:
    """The job, ready to execute."""
    if start.restore is None:
        forget_state(tables)
    job = Job(tables, Spool(pipeline.settings.spool), tables.create_statement_set())
    add(job, tables, pipeline, errand(pipeline, start.epoch), start.starts)
    for plain in pipeline.plain:
        job.insert(plain)
    return job


def add(
    job: Job,
    tables: StreamTableEnvironment,
    pipeline: Pipeline,
    told: Errand,
    starts: Mapping[str, Mapping[str, Mapping[int, int]]],
) -> None:
    """Both ends of a pipeline: its statements are sealed, and what is sealed is submitted and announced."""
    for statement in pipeline.statements:
        job.seal(statement, starts.get(statement.name, {}))
    names = [statement.name for statement in pipeline.statements]
    job.submit(names, partial(DeskProcess, told), _announcements(tables, pipeline))


def forget_state(tables: StreamTableEnvironment) -> None:
    """Take out of Flink's configuration a state that the file or the command line names, and that is not restored."""
    environment = tables._j_tenv  # noqa: SLF001 - PyFlink can set an option, and not take one out
    for configuration in (environment.getConfig().getConfiguration(), environment.execEnv().getConfiguration()):
        for name in STATES:
            configuration.removeKey(name)


def errand(pipeline: Pipeline, epoch: int = 0, opening: Opening | None = None) -> Errand:
    """What the workers of a run are told."""
    settings = pipeline.settings
    return Errand(
        pipeline=pipeline.name,
        epoch=epoch,
        statements=tuple(statement.name for statement in pipeline.statements),
        spool=settings.spool,
        state_store=settings.state_store_reference,
        quarantine=QUARANTINE.total_seconds() if settings.quarantine is None else settings.quarantine,
        watched=watched(pipeline.statements, os.environ),
        kafka_config=str(settings.kafka_config) if settings.kafka_config else None,
        opening=opening,
    )


def _announcements(tables: StreamTableEnvironment, pipeline: Pipeline) -> Announcements:
    """The batches topic, reached as a sink or an input on the same brokers says it."""
    servers = pipeline.bootstrap_servers
    named = [*(each.sink for each in pipeline.statements), *(each.input.identifier for each in pipeline.statements)]
    for table in named:
        options = UserTable(tables, table).options()
        if options.get("properties.bootstrap.servers") == servers:
            # A sink's transactions and acks are its own matter.
            kept = ("properties.security.", "properties.sasl.", "properties.ssl.", "properties.client.")
            properties = {name: value for name, value in options.items() if name.startswith(kept)}
            return Announcements(servers, pipeline.settings.batches_topic, properties)
    return Announcements(servers, pipeline.settings.batches_topic)
