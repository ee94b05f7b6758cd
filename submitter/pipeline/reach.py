"""Whether all that a file relies on can be reached: brokers, topics, state store, spool. It changes nothing there."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from shared.clock import system_clock
from shared.errors import BatchlineError
from shared.kafka import load_clusters
from shared.spool import Spool
from shared.store.address import engine_for, parse
from shared.store.database import Database
from shared.store.lineage import Lineage
from shared.store.migrate import revision
from submitter.pipeline.brokers import Brokers
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.settings import PREFIX
from submitter.pipeline.values import Pipeline, Settings, Statement


def reach(pipeline: Pipeline, environ: Mapping[str, str], faults: Faults, *, take_over: bool = False) -> Pipeline:
    """The pipeline, with the identity of each input's topics; what can't be reached is a fault.

    `take_over`: the pipeline's name may be another file's.
    """
    reach_store(pipeline.settings, None if take_over else pipeline.file, faults)
    reach_spool(pipeline.settings, faults)
    file = pipeline.settings.kafka_config or _path(environ.get("BATCHLINE_KAFKA_CONFIG"))
    try:
        brokers = Brokers(load_clusters(file, environ))
    except BatchlineError as error:
        faults.caught(error)
        return pipeline
    if not pipeline.statements:
        return pipeline
    statements = tuple(_statement(each, brokers, faults) for each in pipeline.statements)
    kafka = {**pipeline.batches_kafka, "bootstrap.servers": pipeline.bootstrap_servers}
    place = Place(statement=f"SET '{PREFIX}batches-topic'")
    try:
        for message in brokers.batches_topic(kafka, pipeline.settings.batches_topic):
            faults.add(message, place)
    except BatchlineError as error:
        faults.caught(error, place)
    return replace(pipeline, statements=statements)


def reach_store(settings: Settings, file: Path | None, faults: Faults) -> None:
    """Whether the store answers, and the pipeline's name is free or this file's (None: whoever's it is)."""
    place = Place(statement=f"SET '{PREFIX}state-store'")
    try:
        url = parse(settings.state_store)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            _writable(Path(url.database or "").absolute().parent, "the state store's folder", faults, place)
            return
        database = Database(engine_for(url), system_clock)
        try:
            with database.read() as connection:
                empty = revision(connection) is None
            owner = None if empty else Lineage(database).owner(settings.name)
        finally:
            database.engine.dispose()
    except BatchlineError as error:
        faults.caught(error, place)
        return
    if file is not None and owner not in (None, str(file)):
        faults.add(
            f"the name '{settings.name}' is used by {owner} in this state store: choose another one; if it is this "
            "file that has moved, run it once with --take-over",
            Place(statement=f"SET '{PREFIX}pipeline'"),
        )


def reach_spool(settings: Settings, faults: Faults) -> None:
    """Whether the spool can be written."""
    place = Place(statement=f"SET '{PREFIX}spool'")
    try:
        Spool(settings.spool).files.probe()
    except BatchlineError as error:
        faults.caught(error, place)


def _statement(statement: Statement, brokers: Brokers, faults: Faults) -> Statement:
    """The statement, with its source; what is wrong with its topics is a fault."""
    definition, place = statement.definition, Place(statement.line, statement.name)
    sink = definition.sink
    written = [sink.topic, *([definition.batch.error_topic] if definition.batch.error_topic else [])]
    try:
        for message in brokers.missing({**sink.kafka, "bootstrap.servers": sink.bootstrap_servers}, written):
            faults.add(message, place)
    except BatchlineError as error:
        faults.caught(error, place)
    if not statement.input.topics:
        return statement
    try:
        source, wrong = brokers.source(statement.input.kafka, statement.input.topics)
    except BatchlineError as error:
        faults.caught(error, place)
        return statement
    for message in wrong:
        faults.add(message, place)
    return replace(statement, definition=definition.model_copy(update={"source": source}))


def _writable(folder: Path, what: str, faults: Faults, place: Place) -> None:
    """Whether a folder, or the first one above it that exists, can be written."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not existing.is_dir():
        faults.add(f"{what} {folder} can't be made: {existing} is no folder", place)
    elif not os.access(existing, os.W_OK | os.X_OK):
        faults.add(
            f"{what} {folder} can't be written: {existing} belongs to another user; grant it, or choose another", place
        )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
