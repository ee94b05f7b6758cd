"""Which definitions of the spool are believed: a key goes where a submitter or the operator said, nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store import Store
from shared.trust import VARIABLE, Untrusted, vouch, vouching
from submitter.pipeline.kafka_properties import translate
from tests.rig import samples


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'state.db'}") as opened:
        yield opened


EVIL_URLS = [
    "https://evil.example/v1",
    "http://api.openai.com/v1",
    "https://api.openai.com@evil.example/v1",
    "https://api.openai.com.evil.example/v1",
    "https://api.openai.com:8443/v1",
    "https://api.open\nai.com/v1",
    "https://evil.example\\@api.openai.com/v1",
    "https://\u0430pi.openai.com/v1",
    "https://127.0.0.1@evil.example/v1",
    "http://127.0.0.1:80@evil.example",
    "http://[::1]@evil.example",
    "http://localhost.evil.example",
    "http://2130706433.evil.example",
    "file:///etc/passwd",
    "//evil.example",
    "http://[",
    "",
]


@pytest.mark.parametrize("url", EVIL_URLS)
def test_no_key_goes_to_an_address_that_nobody_named(store: Store, url: str) -> None:
    with pytest.raises(Untrusted, match=VARIABLE):
        vouch(store, samples.definition(model={"base_url": url}), {"OPENAI_BASE_URL": "https://gateway.example/v1"})


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "https://gateway.example/v1", "http://named.example:8080/v1", "http://[::1]:9"]
)
def test_what_the_operator_names_is_believed(store: Store, url: str) -> None:
    environ = {"OPENAI_BASE_URL": "https://gateway.example/v1", VARIABLE: "other:1, named.example:8080"}
    vouch(store, samples.definition(model={"base_url": url}), environ)


def test_what_a_submitter_put_into_the_store_is_believed(store: Store) -> None:
    mine = samples.definition(model={"base_url": "https://own.example/v1"}, sink={"bootstrap_servers": "far:9092"})
    store.lineage.put_definition(mine)
    vouch(store, mine, {})
    edited = samples.definition(model={"base_url": "https://own.example/v1", "api_key": "DATABASE_PASSWORD"})
    with pytest.raises(Untrusted):
        vouch(store, edited, {})


@pytest.mark.parametrize("servers", ["evil.example:9092", "127.0.0.1:9092,evil.example:9092", "", "localhost:9@evil:1"])
def test_no_password_goes_to_a_cluster_that_nobody_named(store: Store, servers: str) -> None:
    with pytest.raises(Untrusted):
        vouch(store, samples.definition(sink={"bootstrap_servers": servers}), {})


def test_a_cluster_that_the_operator_named_is_believed(store: Store) -> None:
    stated = samples.definition(sink={"bootstrap_servers": "one:9092,two:9092"})
    vouch(store, stated, {"BATCHLINE_BOOTSTRAP_SERVERS": "one:9092, two:9092"})
    vouch(store, stated, {VARIABLE: "one:9092", "BATCHLINE_BOOTSTRAP_SERVERS": "two:9092"})


def test_a_cluster_that_a_flag_names_is_believed_and_the_variable_that_it_replaces_is_not(store: Store) -> None:
    stated = samples.definition(sink={"bootstrap_servers": "one:9092,two:9092"})
    vouch(store, stated, vouching({}, "two:9092, one:9092"))
    with pytest.raises(Untrusted):
        vouch(store, stated, vouching({"BATCHLINE_BOOTSTRAP_SERVERS": "one:9092,two:9092"}, "three:9092"))


@pytest.mark.parametrize(
    "name",
    [
        "bootstrap.servers",
        "metadata.broker.list",
        "plugin.library.paths",
        "ssl.engine.location",
        "sasl.kerberos.kinit.cmd",
        "sasl.oauthbearer.token.endpoint.url",
        "debug",
    ],
)
def test_no_property_of_a_manifest_loads_runs_or_redirects(store: Store, name: str) -> None:
    with pytest.raises(Untrusted, match="property"):
        vouch(store, samples.definition(sink={"kafka": {name: "x"}}), {})


def test_every_property_that_a_ddl_is_translated_to_is_believed(store: Store) -> None:
    said = {
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required username=a "
        "password='${P}';",
        "sasl.mechanism": "SCRAM-SHA-512",
        "security.protocol": "SASL_SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/ca.pem",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": "/key.pem",
        "ssl.truststore.certificates": "pem",
        "ssl.keystore.certificate.chain": "pem",
        "ssl.keystore.key": "${K}",
        "ssl.endpoint.identification.algorithm": "",
        "max.request.size": "1",
        "linger.ms": "1",
        "reconnect.backoff.max.ms": "1",
        "client.dns.lookup": "use_all_dns_ips",
    }
    translated = translate(said)
    assert not translated.untranslatable
    vouch(store, samples.definition(sink={"kafka": translated.properties}), {})
