import logging
from typing import Any

import pytest
from confluent_kafka import Producer

from poller.publish.outbox import Shard, producer_settings
from shared.definition import Sink, SqlType
from submitter.pipeline.catalog_values import CatalogColumn, CatalogTable
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.kafka_properties import translate
from submitter.pipeline.sinks import SinkOptions, SinkTable

SILENT = logging.getLogger("silent")
SILENT.disabled = True
TEXT = SqlType(root="VARCHAR", length=2**31 - 1)
COLUMNS = (
    CatalogColumn("id", TEXT, "STRING"),
    CatalogColumn("label", TEXT, "STRING"),
    CatalogColumn("upper_label", TEXT, "STRING", kind="computed", persisted=False),
    CatalogColumn("h", SqlType(root="MAP"), "MAP<STRING, BYTES>", kind="metadata", metadata_key="headers"),
)
BASE = {
    "connector": "kafka",
    "topic": "out",
    "properties.bootstrap.servers": "b:9092",
    "key.format": "json",
    "key.fields": "id",
    "value.format": "json",
}


def read(options: dict[str, str], **how: Any) -> tuple[Sink | None, Faults]:
    faults = Faults()
    table = CatalogTable(("c", "d", "out"), how.get("view", False), options, how.get("columns", COLUMNS))
    sink = SinkTable(table, how.get("unresolved", options), {"topic": 4}, Place(3, "sink out"))
    return SinkOptions(sink, faults, has_kafka_config=how.get("has_kafka_config", False)).read(), faults


def faults_of(options: dict[str, str], **how: Any) -> str:
    made, faults = read(options, **how)
    assert made is None
    return "\n".join(fault.text("f.sql") for fault in faults.errors)


def test_a_sinks_own_options_say_how_it_is_written() -> None:
    sink, faults = read({**BASE, "value.json.map-null-key.mode": "DROP", "value.fields-include": "EXCEPT_KEY"})
    assert not faults.errors
    assert sink is not None
    assert (sink.table, sink.topic, sink.bootstrap_servers) == ("`c`.`d`.`out`", "out", "b:9092")
    assert (sink.key_format, sink.key_fields, sink.value_fields_include) == ("json", ("id",), "EXCEPT_KEY")
    assert sink.value_options == {"map-null-key.mode": "DROP"}
    assert [column.name for column in sink.columns] == ["id", "label"]
    assert (sink.headers_column, sink.timestamp_column) == ("h", None)


def test_the_format_may_have_its_short_name() -> None:
    options = {"connector": "kafka", "topic": "out", "properties.bootstrap.servers": "b:1", "format": "json"}
    sink, _ = read({**options, "json.encode.ignore-null-fields": "true"})
    assert sink is not None
    assert (sink.key_format, sink.value_format) == (None, "json")
    assert sink.value_options == {"encode.ignore-null-fields": "true"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"connector": "upsert-kafka"}, "use 'kafka', which keeps every answer"),
        ({"connector": "filesystem"}, "read that topic with a second query"),
        ({"topic": "a;b"}, "f.sql:4: sink out: option 'topic': a sink needs one topic, and this names 2"),
        ({"topic-pattern": "a.*"}, "option 'topic-pattern': a sink needs one topic"),
        ({"value.format": "avro"}, "option 'value.format': 'avro' can't be written here"),
        ({"key.format": "csv"}, "option 'key.format': 'csv' can't be written here"),
        ({"key.fields": "nope"}, "the table has no column 'nope'"),
        ({"value.format": "raw"}, "'raw' holds one column, and this has 2"),
        ({"sink.partitioner": "fixed"}, "option 'sink.partitioner': 'fixed' can't be had: records go by their key"),
        ({"sink.partitioner": "round-robin"}, "'round-robin' can't be had"),
        ({"sink.partitioner": "org.acme.Mine"}, "'org.acme.Mine' can't be had"),
        (
            {"properties.partitioner.class": "org.acme.Mine"},
            "option 'properties.partitioner.class': 'org.acme.Mine' can't",
        ),
        (
            {"properties.partitioner.ignore.keys": "true"},
            "option 'properties.partitioner.ignore.keys': 'true' can't be had",
        ),
        ({"properties.sasl.kerberos.service.name": "kafka"}, "export BATCHLINE_KAFKA_CONFIG"),
        ({"properties.ssl.truststore.location": "/a.jks"}, "a store of type JKS is not translated"),
    ],
)
def test_what_cannot_be_written_is_refused(wrong: dict[str, str], said: str) -> None:
    assert said in faults_of({**BASE, **wrong})


@pytest.mark.parametrize(
    "same",
    [
        {"sink.partitioner": "default"},
        {"properties.partitioner.ignore.keys": "false"},
        {"properties.partitioner.adaptive.partitioning.enable": "false"},
    ],
)
def test_a_partitioner_that_goes_by_the_key_is_what_is_done_anyway(same: dict[str, str]) -> None:
    sink, faults = read({**BASE, **same})
    assert sink is not None
    assert not faults.warnings


def test_a_view_is_no_sink() -> None:
    assert "the sink is a view" in faults_of({}, view=True)


def test_an_untranslatable_property_is_the_operators_file_matter() -> None:
    sink, faults = read({**BASE, "properties.sasl.kerberos.service.name": "kafka"}, has_kafka_config=True)
    assert not faults.errors
    assert sink is not None


def jaas(password: str, module: str = "plain.PlainLoginModule") -> str:
    return f'org.apache.kafka.common.security.{module} required username="me" password="{password}";'


def test_a_secret_of_a_sink_stays_a_reference() -> None:
    name = "properties.sasl.jaas.config"
    resolved = {**BASE, name: jaas("hunter22"), "properties.sasl.mechanism": "PLAIN"}
    sink, faults = read(resolved, unresolved={**resolved, name: jaas("${PW}")})
    assert not faults.errors
    assert sink is not None
    assert sink.kafka == {"sasl.mechanisms": "PLAIN", "sasl.username": "me", "sasl.password": "${PW}"}
    assert "hunter22" not in sink.model_dump_json()


def test_a_literal_secret_of_a_sink_is_refused_and_not_repeated() -> None:
    said = faults_of({**BASE, "properties.sasl.jaas.config": jaas("hunter22")})
    assert "option 'properties.sasl.jaas.config': a secret may not stand in the file" in said
    assert "${NAME}" in said
    assert "hunter22" not in said


def test_sasl_scram_and_pem_are_translated() -> None:
    made = translate(
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": "org.apache.flink.kafka.shaded." + jaas("${PW}", "scram.ScramLoginModule"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": "/ca.pem",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.key": "${KEY}",
            "ssl.keystore.certificate.chain": "chain",
            "ssl.endpoint.identification.algorithm": "",
            "group.id": "readers",
            "isolation.level": "read_committed",
            "max.request.size": "2000000",
        }
    )
    assert not made.untranslatable
    assert not made.literal_secrets
    assert made.properties == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "${PW}",
        "ssl.ca.location": "/ca.pem",
        "ssl.key.pem": "${KEY}",
        "ssl.certificate.pem": "chain",
        "ssl.endpoint.identification.algorithm": "none",
        "message.max.bytes": "2000000",
    }


def test_quotes_in_a_jaas_configuration_are_read() -> None:
    made = translate({"sasl.jaas.config": r"""a.b.PlainLoginModule required username='x';""".replace("a.b", "a.c")})
    assert "sasl.jaas.config" in made.untranslatable
    escaped = jaas(r"${A}\"b")
    assert translate({"sasl.jaas.config": escaped}).properties["sasl.password"] == '${A}"b'


# What a property of Flink's may have in a table; of those that are translated as they are.
PLAUSIBLE = {
    "security.protocol": "PLAINTEXT",
    "client.id": "us",
    "client.dns.lookup": "use_all_dns_ips",
    "compression.type": "zstd",
    "linger.ms": "5",
    "acks": "1",
    "request.timeout.ms": "30000",
    "delivery.timeout.ms": "120000",
    "metadata.max.age.ms": "300000",
    "max.request.size": "2000000",
}


@pytest.mark.parametrize("name", PLAUSIBLE)
def test_what_is_translated_is_taken_by_a_producer_with_transactions(name: str) -> None:
    made = translate({name: PLAUSIBLE[name]})
    assert not made.untranslatable
    client = {"bootstrap.servers": "127.0.0.1:9", **made.properties}
    Producer(producer_settings(client, Shard("installation", "cluster", 0), 1_000_000), logger=SILENT)
