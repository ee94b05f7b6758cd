"""The table or view that ML_PREDICT reads: that it only adds rows, when it ends, whether its rows have positions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from submitter.pipeline.catalog_values import CatalogColumn, CatalogTable
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.flink import reason
from submitter.pipeline.kafka_properties import of_table, translate
from submitter.pipeline.stand_in import StandIns
from submitter.pipeline.values import Input

_HINTS = {
    "doesn't support consuming": (
        "the input changes or removes rows, and only added rows can be sent: read an append-only table or view"
    ),
    "group.id is required": (
        "the input says not where to start: give it 'scan.startup.mode' = 'earliest-offset', or 'properties.group.id'"
    ),
}


def read_input(
    table: CatalogTable,
    needed: Sequence[CatalogColumn],
    topics: tuple[str, ...],
    kafka: Mapping[str, str],
    stand_ins: StandIns,
    faults: Faults,
    place: Place,
) -> Input | None:
    """The input; None, and a fault, where Flink can't read it, or where it is not append-only."""
    try:
        bounded = stand_ins.bounded(table, needed)
    except Exception as error:  # noqa: BLE001 - whatever Flink says of the input, the user is to read it
        message, _ = reason(error)
        hint = next((hint for symptom, hint in _HINTS.items() if symptom in message), None)
        faults.add(f"{hint} ({table.name}: {message})" if hint else f"input {table.name}: {message}", place)
        return None
    return Input(table.quoted, table.view, table.connector, topics, table.metadata, bounded, kafka)


def topics_of(
    table: CatalogTable, faults: Faults, place: Place, *, has_kafka_config: bool
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The topics of an input with positions, and how its cluster is reached."""
    options = table.options
    if table.view or table.connector != "kafka":
        return (), {}
    if "topic-pattern" in options:
        faults.warn(
            f"input {table.name} has a 'topic-pattern', so its records have no positions that could be kept: a start "
            "without Flink state would send them again, and needs --resubmit; name its topics with 'topic'",
            place,
        )
        return (), {}
    made = translate(of_table(options))
    for name, reason_ in made.untranslatable.items():
        if not has_kafka_config:
            faults.add(
                f"it can't be translated, and its topics' identity must be asked for ({reason_}): put this cluster's "
                "librdkafka properties into a file, and export BATCHLINE_KAFKA_CONFIG",
                replace(place, statement=f"input {table.name}", option=f"properties.{name}"),
            )
    topics = tuple(topic.strip() for topic in options.get("topic", "").split(";") if topic.strip())
    return topics, {**made.properties, "bootstrap.servers": options.get("properties.bootstrap.servers", "")}
