"""A sink table's own options as the publisher needs them; what it can't write is refused with a reason. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from shared.definition import Column, Sink
from submitter.pipeline.catalog_values import CatalogTable
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.kafka_properties import translate
from submitter.pipeline.kinds import is_topic
from submitter.pipeline.references import referenced
from submitter.pipeline.variants import ROOT as VARIANT

_FORMATS, _INCLUDES = ("json", "raw"), ("ALL", "EXCEPT_KEY")
_IGNORED = {
    "sink.delivery-guarantee": "results are always published exactly once",
    "sink.semantic": "results are always published exactly once",
    "sink.transactional-id-prefix": "the poller names its own transactions",
    "sink.parallelism": "the poller publishes",
}
_PARTITIONERS = {
    "sink.partitioner": "default",
    "properties.partitioner.class": "",
    "properties.partitioner.ignore.keys": "false",
}
"""What says which partition a record goes to, and the word for what it does anyway."""
_RAW = frozenset(
    ["CHAR", "VARCHAR", "BINARY", "VARBINARY", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"]
)
_NO_JSON = (
    "RAW",
    "NULL",
    "SYMBOL",
    "UNRESOLVED",
    "STRUCTURED_TYPE",
    "DISTINCT_TYPE",
    VARIANT,
    "BITMAP",
    "DESCRIPTOR",
)


@dataclass(frozen=True)
class SinkTable:
    """A sink, with what the file says about it."""

    table: CatalogTable
    unresolved: Mapping[str, str]
    """The same options as the file has them, with references in place of the environment's values."""
    lines: Mapping[str, int]
    place: Place


class SinkOptions:
    """Reads one sink table; every fault is collected."""

    def __init__(self, sink: SinkTable, faults: Faults, *, has_kafka_config: bool) -> None:
        self._sink, self._faults, self._has_kafka_config = sink, faults, has_kafka_config
        self._options = dict(sink.table.options)

    def read(self) -> Sink | None:
        """The sink; None where a fault stands in the way."""
        before = self._faults.found
        if not self._is_kafka():
            return None
        topic, servers = self._topic(), self._options.get("properties.bootstrap.servers")
        if not servers:
            self._fault("properties.bootstrap.servers", "it is missing: give the sink's cluster, as host:port")
        key, value = self._format("key.format"), self._format("value.format")
        self._meaningless()
        columns = tuple(column.column for column in self._sink.table.columns if column.kind == "physical")
        metadata = self._sink.table.metadata
        fields = dict[str, Any](
            key_format=key,
            key_fields=self._list("key.fields"),
            key_fields_prefix=self._options.get("key.fields-prefix", ""),
            value_format=value,
            value_fields_include=self._include(),
            columns=columns,
        )
        if key is not None and not fields["key_fields"]:
            self._fault("key.fields", "it is missing: name the columns of the key, as 'id;region'")
        kafka = self._kafka()
        self._columns(columns, fields)
        if self._faults.found > before or topic is None or value is None or not servers:
            return None
        return Sink(
            table=self._sink.table.quoted,
            topic=topic,
            bootstrap_servers=servers,
            kafka=kafka,
            key_options=self._format_options("key.", key),
            value_options=self._format_options("value.", value),
            headers_column=metadata.get("headers"),
            timestamp_column=metadata.get("timestamp"),
            **fields,
        )

    def written(self) -> tuple[str, dict[str, str]] | None:
        """The topic, and librdkafka's properties to its cluster; None where a fault stands in the way of these two."""
        topic, servers = self._options.get("topic", "").strip(), self._options.get("properties.bootstrap.servers")
        made = translate(self._properties())
        if self._sink.table.connector != "kafka" or not is_topic(topic) or not servers:
            return None
        if made.untranslatable and not self._has_kafka_config:
            return None
        return topic, {**made.properties, "bootstrap.servers": servers}

    def _is_kafka(self) -> bool:
        connector = self._sink.table.connector
        if connector == "kafka" and not self._sink.table.view:
            return True
        found = "a view" if self._sink.table.view else f"connector '{connector}'"
        reason = (
            "an update can't be told from a new record there; use 'kafka', which keeps every answer"
            if connector == "upsert-kafka"
            else "results are published to Kafka: use 'connector' = 'kafka', and read that topic with a second query"
        )
        self._fault("connector", f"the sink is {found}: {reason}")
        return False

    def _topic(self) -> str | None:
        topic = self._options.get("topic", "")
        if "topic-pattern" in self._options:
            self._fault("topic-pattern", "a sink needs one topic: name it with 'topic'")
        topics = [each.strip() for each in topic.split(";") if each.strip()]
        if len(topics) != 1:
            self._fault("topic", f"a sink needs one topic, and this names {len(topics) or 'none'}")
            return None
        return topics[0]

    def _format(self, option: str) -> Literal["json", "raw"] | None:
        short = option == "value.format" and option not in self._options
        name = "format" if short else option
        value = self._options.get(name)
        if value is None:
            if option == "value.format":
                self._fault("value.format", "it is missing: use 'json' or 'raw'")
            return None
        if value not in _FORMATS:
            self._fault(name, f"'{value}' can't be written here: use 'json' or 'raw'")
            return None
        return cast(Literal["json", "raw"], value)

    def _include(self) -> str:
        value = self._options.get("value.fields-include", "ALL").upper().replace("-", "_")
        if value not in _INCLUDES:
            self._fault("value.fields-include", f"'{value}' is not one of {', '.join(_INCLUDES)}")
        return value

    def _meaningless(self) -> None:
        for name, reason in _IGNORED.items():
            if name in self._options:
                self._faults.warn(f"it has no meaning here: {reason}", self._at(name))
        for name, usual in _PARTITIONERS.items():
            given = self._options.get(name, usual)
            if given != usual:
                self._fault(name, f"'{given}' can't be had: records go by their key's murmur2 hash, as without it")

    def _format_options(self, side: str, format_: str | None) -> dict[str, str]:
        """The options of a format, under either of its prefixes."""
        if format_ is None:
            return {}
        prefixes = [f"{side}{format_}."] + ([f"{format_}."] if side == "value." else [])
        return {
            name.removeprefix(prefix): value
            for name, value in self._options.items()
            for prefix in prefixes
            if name.startswith(prefix)
        }

    def _kafka(self) -> dict[str, str]:
        """The properties for librdkafka; a secret must be a reference, since this is stored."""
        made = translate(self._properties())
        for name in made.literal_secrets:
            message = "a secret may not stand in the file: export it as a variable, and write '${NAME}' in its place"
            self._fault(f"properties.{name}", message)
        for name, reason in made.untranslatable.items():
            if not self._has_kafka_config:
                message = (
                    f"it can't be translated for the publisher ({reason}): put this cluster's librdkafka properties"
                )
                self._fault(f"properties.{name}", f"{message} into a file, and export BATCHLINE_KAFKA_CONFIG")
        return made.properties

    def _properties(self) -> dict[str, str]:
        unresolved = self._sink.unresolved
        return {
            name.removeprefix("properties."): unresolved[name] if referenced(unresolved[name]) else value
            for name, value in self._options.items()
            if name.startswith("properties.")
        }

    def _list(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._options.get(name, "").split(";") if part.strip())

    def _columns(self, columns: Sequence[Column], fields: Mapping[str, Any]) -> None:
        """Whether the columns fit the formats of key and value."""
        names, key = [column.name for column in columns], set(fields["key_fields"])
        for name in fields["key_fields"]:
            if name not in names:
                self._fault("key.fields", f"the table has no column '{name}'")
        keys = [column for column in columns if column.name in key]
        rest = [column for column in columns if column.name not in key]
        values = rest if fields["value_fields_include"] == "EXCEPT_KEY" else list(columns)
        for option, format_, held in (
            ("key.format", fields["key_format"], keys),
            ("value.format", fields["value_format"], values),
        ):
            if format_ == "raw":
                self._raw(option, held)
            elif format_ == "json":
                for column in held:
                    if column.type.root in _NO_JSON:
                        message = f"column '{column.name}' has type {column.type.root}, which JSON can't hold"
                        remedy = ": declare it as STRING, and use PARSE_JSON where it is read"
                        self._fault(option, message + remedy if column.type.root == VARIANT else message)

    def _raw(self, option: str, columns: list[Column]) -> None:
        if len(columns) != 1:
            self._fault(option, f"'raw' holds one column, and this has {len(columns)}")
        elif columns[0].type.root not in _RAW:
            self._fault(option, f"'raw' can't hold column '{columns[0].name}' of type {columns[0].type.root}")

    def _at(self, option: str) -> Place:
        return self._sink.place.at(option, self._sink.lines.get(option))

    def _fault(self, option: str, message: str) -> None:
        self._faults.add(message, self._at(option))
