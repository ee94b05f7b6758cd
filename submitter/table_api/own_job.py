"""A prediction in a job of the user's own: read, judged and begun as a file's statement is, into their StatementSet."""

import logging
import os
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakKeyDictionary

from pyflink.table import StatementSet, StreamTableEnvironment, Table

from shared.errors import SettingsError
from shared.kafka import load_clusters
from shared.spool import Spool
from shared.store import OWN_JOB, Store
from submitter.desk.errand import Opening
from submitter.job.assembly import add, errand
from submitter.job.configuration import recovery_path
from submitter.job.job import Job
from submitter.lineage.lineage import Road
from submitter.lineage.starting import Places
from submitter.pipeline.environment import check_environment, configuration_of, environment_of, settings_given
from submitter.pipeline.faults import Faults, PipelineError
from submitter.pipeline.needs import needs_of, pipeline_of
from submitter.pipeline.prices import check_prices
from submitter.pipeline.reach import reach
from submitter.pipeline.settings import PREFIX, check_target, read_settings
from submitter.pipeline.values import Pipeline
from submitter.run.beginning import Beginning, Wishes
from submitter.sql import INTERNAL
from submitter.table_api.asked import Asked
from submitter.table_api.own_query import read_query

LOG = logging.getLogger("batchline.submitter")
_WISHES = ("resubmit", "take-over")
"""What is said of one start; `submitter run` has flags for it."""
_ADDED: WeakKeyDictionary[StatementSet, set[str]] = WeakKeyDictionary()
"""The pipelines in each statement set."""


@dataclass(frozen=True)
class _Added:
    """A prediction that can be added."""

    pipeline: Pipeline
    wishes: frozenset[str]


def add_prediction(table: Table, asked: Asked, statements: StatementSet, pipeline: str | None) -> None:
    """Add both ends of a prediction. Raises SettingsError, PipelineError; KafkaUnavailable and the like."""
    tables = environment_of(table, statements)
    read = _read(tables, table, asked, pipeline)
    names = _ADDED.setdefault(statements, set())
    if read.pipeline.name in names:
        raise SettingsError(
            f"pipeline '{read.pipeline.name}' is in this StatementSet already, and a pipeline is one prediction: give "
            "this one another name, predict(…, pipeline='…')"
        )
    _begin(tables, read, statements)
    names.add(read.pipeline.name)


def _read(tables: StreamTableEnvironment, table: Table, asked: Asked, name: str | None) -> _Added:
    """What the prediction is, by the same reading as a file's. Raises PipelineError with every fault."""
    faults, configuration, environ = Faults(), configuration_of(tables), os.environ
    wishes = frozenset(each for each in _WISHES if configuration.pop(PREFIX + each, "").lower() == "true")
    found = read_settings(settings_given(configuration, name, environ, faults), environ, faults)
    check_target(found.values, configuration.get("execution.target"), faults)
    check_environment(tables, configuration, faults)
    statement, topics = read_query(tables, table, asked, found.values, environ, faults)
    check_prices([statement] if statement else [], found.values, faults)
    script = Path(sys.argv[0]).name or "a Python session"
    needs = needs_of(Path(f"the Table API of {script}"), found.values, topics)
    flink = {name: value for name, value in configuration.items() if not name.startswith(PREFIX)}
    made = pipeline_of(needs, found.settings, flink, [statement]) if found.settings and statement else None
    made = reach(needs, made, environ, faults, take_over="take-over" in wishes)
    where = f"predict into {asked.sink}"
    # A line would be one of a text that the user has never seen.
    told = [replace(fault, place=replace(fault.place, line=None)) for fault in (*faults.errors, *faults.warnings)]
    for warning in told[len(faults.errors) :]:
        LOG.warning("%s", warning.text(where))
    if made is None or faults.errors:
        raise PipelineError(where, told[: len(faults.errors)])
    return _Added(made, wishes)


def _begin(tables: StreamTableEnvironment, read: _Added, statements: StatementSet) -> None:
    """Find where the job goes on, and add it. Its run begins when the job does."""
    pipeline, settings = read.pipeline, read.pipeline.settings
    file = settings.kafka_config or os.environ.get("BATCHLINE_KAFKA_CONFIG")
    clusters, spool = load_clusters(Path(file) if file else None, os.environ), Spool(settings.spool)
    replication = int(os.environ.get("BATCHLINE_REPLICATION", "1"))
    with Store.open(settings.state_store) as store:
        wishes = Wishes({}, resubmit="resubmit" in read.wishes, replication=replication)
        beginning = Beginning(pipeline, tables, store, spool, clusters, wishes, LOG.info)
        beginning.chronicle.claim(str(pipeline.file), take_over="take-over" in read.wishes)
        beginning.chronicle.remind()
        beginning.prepare()
        mark = beginning.mark()
        road = _road(beginning, mark)
        places = Places() if road.restore else beginning.places(road)
    # Whatever the user's JVM writes below it, nobody else may read.
    spool.files.home(pipeline.name)
    opening = Opening(
        job=f"{OWN_JOB}{uuid.uuid4().hex}",
        definition=mark,
        restored_from=road.restore,
        started_from=None if road.restore else places.record(),
    )
    number = sum(name.startswith(f"{INTERNAL}sealed_") for name in tables.list_temporary_tables())
    job = Job(tables, spool, statements, first=number, uid=f"submit-{pipeline.name}")
    starts = {statement.name: places.of(statement.name) for statement in pipeline.statements}
    add(job, tables, pipeline, errand(pipeline, opening=opening), starts)
    if pipeline.bounded:
        LOG.warning(
            "%s: its input ends by itself, and the job does not: cancel it when all is submitted", pipeline.name
        )


def _road(beginning: Beginning, mark: str) -> Road:
    """The state that the user's configuration names, judged by the lineage; else positions."""
    named = recovery_path(beginning.configuration)
    if named is None:
        is_first = not beginning.store.lineage.runs(beginning.pipeline.name, 1)
        return Road(None, "the job names no state", first=is_first)
    road = beginning.road(mark)
    if road.restore is None and not road.first:
        raise SettingsError(
            f"pipeline '{beginning.pipeline.name}' can't go on from {named}: {road.reason}. Start the job without a "
            "state: what is read from Kafka as it is goes on from its positions, and is paid for once"
        )
    return road
