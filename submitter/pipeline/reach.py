"""Whether all that a file relies on can be reached: brokers, topics, state store, spool. It changes nothing there."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from shared.clock import system_clock
from shared.definition import Definition, Source
from shared.errors import BatchlineError
from shared.kafka import load_clusters
from shared.messages import BATCHES_TOPIC
from shared.spool import Spool
from shared.store.address import engine_for, parse
from shared.store.database import Database
from shared.store.lineage import Lineage
from shared.store.migrate import HEAD, revision
from submitter.pipeline.brokers import Brokers
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.names import moved
from submitter.pipeline.references import referenced
from submitter.pipeline.settings import PREFIX
from submitter.pipeline.topic_remarks import error_remarks, sink_remarks
from submitter.pipeline.values import Needs, Pipeline, Statement, Topics


def reach(
    needs: Needs, pipeline: Pipeline | None, environ: Mapping[str, str], faults: Faults, *, take_over: bool = False
) -> Pipeline | None:
    """The pipeline, with the identity of each input's topics; of all that is needed, what can't be reached is a fault.

    `take_over`: the pipeline's name may be another file's.
    """
    settings = {name: value for name, value in needs.settings.items() if not referenced(str(value))}
    used: list[Definition] = []
    if "state-store" in settings:
        owner = None if take_over else needs.file
        used = reach_store(settings["state-store"], settings.get("pipeline"), owner, faults)
    if "spool" in settings:
        reach_spool(settings["spool"], faults)
    file = settings.get("kafka-config") or _path(environ.get("BATCHLINE_KAFKA_CONFIG"))
    try:
        brokers = Brokers(load_clusters(file, environ))
    except BatchlineError as error:
        faults.caught(error)
        return pipeline
    sources = _sources(needs.topics, brokers, faults)
    if needs.batches_kafka:
        place = Place(statement=f"SET '{PREFIX}batches-topic'")
        with _told(faults, place):
            for message in brokers.batches_topic(needs.batches_kafka, settings.get("batches-topic", BATCHES_TOPIC)):
                faults.add(message, place)
    if pipeline is None:
        return None
    statements = (
        replace(each, definition=each.definition.model_copy(update={"source": sources.get(each.name)}))
        for each in pipeline.statements
    )
    made = replace(pipeline, statements=tuple(statements))
    for each in made.statements if not faults.errors else ():
        _look_at_topics(each, brokers, faults)
    made = replace(made, warnings=tuple(faults.warnings))
    if not faults.errors:
        lines = {each.name: each.line for each in made.statements}
        for one in moved(used, [each.definition for each in made.statements]):
            faults.add(one.said, Place(lines[one.now], one.now))
    return made


def reach_store(address: str, name: str | None, file: Path | None, faults: Faults) -> list[Definition]:
    """Whether the store answers, and the pipeline's name is free or this file's (None: whoever's it is).

    Gives the definitions that the pipeline's files were planned by so far, the newest last.
    """
    place = Place(statement=f"SET '{PREFIX}state-store'")
    try:
        url = parse(address)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            _writable(Path(url.database or "").absolute().parent, "the state store's folder", faults, place)
            return []
        database = Database(engine_for(url), system_clock)
        try:
            with database.read() as connection:
                found = revision(connection)
            owner = None if found is None or name is None else Lineage(database).owner(name)
            used = [] if found != HEAD or name is None else Lineage(database).used(name)
        finally:
            database.engine.dispose()
    except BatchlineError as error:
        faults.caught(error, place)
        return []
    if file is not None and owner not in (None, str(file)):
        faults.add(
            f"the name '{name}' is used by {owner} in this state store: choose another one; if it is this "
            "file that has moved, run it once with --take-over (in Python, the setting batchline.take-over = true)",
            Place(statement=f"SET '{PREFIX}pipeline'"),
        )
    return used


def reach_spool(address: str, faults: Faults) -> None:
    """Whether the spool can be written."""
    with _told(faults, Place(statement=f"SET '{PREFIX}spool'")):
        Spool(address).files.probe()


def _sources(topics: Sequence[Topics], brokers: Brokers, faults: Faults) -> dict[str | None, Source]:
    """The identity of each statement's input; what is wrong with topics is a fault."""
    found = dict[str | None, Source]()
    for each in topics:
        with _told(faults, each.place):
            wrong = [] if each.is_input else brokers.missing(each.kafka, each.names)
            if each.is_input:
                source, wrong = brokers.source(each.kafka, each.names)
                found |= {each.place.statement: source} if source else {}
            for message in wrong:
                faults.add(message, each.place)
    return found


def _look_at_topics(statement: Statement, brokers: Brokers, faults: Faults) -> None:
    """Whether the topics of a sink, by their own settings, take what is written there."""
    definition, place = statement.definition, Place(statement.line, statement.name)
    sink, errors = definition.sink, definition.batch.error_topic
    kafka = {**sink.kafka, "bootstrap.servers": sink.bootstrap_servers}
    with _told(faults, place):
        limits = brokers.limits(kafka, sink.topic)
        remarks = list(sink_remarks(definition, limits)) if limits else []
        if errors and (limits := brokers.limits(kafka, errors)):
            remarks += error_remarks(definition, errors, limits)
        for remark in remarks:
            (faults.add if remark.is_fault else faults.warn)(remark.message, place)


@contextmanager
def _told(faults: Faults, place: Place) -> Iterator[None]:
    try:
        yield
    except BatchlineError as error:
        faults.caught(error, place)


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
