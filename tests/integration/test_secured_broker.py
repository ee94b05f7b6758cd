"""Brokers that ask for passwords and certificates: what a table's properties become lets us in, or says why not."""

from collections.abc import Iterator, Mapping

import pytest

from deploy.sandbox.broker import LocalBroker
from shared.errors import BatchlineError
from shared.kafka import KafkaClusters
from shared.topics import cluster_id
from submitter.pipeline.brokers import Brokers
from submitter.pipeline.kafka_properties import translate
from tests.rig.security import Certificate, add_user, certificate, listeners

AUTHORITY = certificate("authority")
CLIENT = certificate("client", AUTHORITY)
ENVIRON = {"PASSWORD": "the-password-0451", "WRONG": "another-0451", "KEY": CLIENT.key_pem}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    made = listeners(tmp_path_factory.mktemp("keys"), AUTHORITY, "alice", ENVIRON["PASSWORD"])
    with LocalBroker(listeners=made) as broker:
        add_user(broker.bootstrap, "alice", ENVIRON["PASSWORD"])
        yield broker


def login(mechanism: str, variable: str = "PASSWORD") -> dict[str, str]:
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    jaas = f"""org.apache.kafka.common.security.{module} required username="alice" password="${{{variable}}}";"""
    return {"sasl.mechanism": mechanism, "sasl.jaas.config": jaas}


def trust(authority: Certificate = AUTHORITY) -> dict[str, str]:
    return {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": authority.pem}


OWN = {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": CLIENT.pem, "ssl.keystore.key": "${KEY}"}
OPEN, CLOSED, TLS = (
    {"security.protocol": "SASL_PLAINTEXT"},
    {"security.protocol": "SASL_SSL"},
    {"security.protocol": "SSL"},
)


@pytest.mark.parametrize(
    ("listener", "properties"),
    [
        ("PASSWORD", {**OPEN, **login("PLAIN")}),
        ("PASSWORD", {**OPEN, **login("SCRAM-SHA-256")}),
        ("PASSWORD", {**OPEN, **login("SCRAM-SHA-512")}),
        ("VAULT", {**CLOSED, **login("SCRAM-SHA-256"), **trust()}),
        ("CERTIFICATE", {**TLS, **OWN, **trust()}),
    ],
)
def test_what_a_table_says_lets_us_in(secured: LocalBroker, listener: str, properties: Mapping[str, str]) -> None:
    made = translate(properties)
    assert (made.untranslatable, made.literal_secrets) == ({}, [])
    client = KafkaClusters(environ=ENVIRON).client(secured.address(listener), made.properties)
    assert cluster_id(client) == cluster_id({"bootstrap.servers": secured.bootstrap})


@pytest.mark.parametrize(
    ("listener", "properties", "why"),
    [
        ("PASSWORD", {**OPEN, **login("PLAIN", "WRONG")}, "refuses: .*Invalid username or password"),
        ("PASSWORD", {**OPEN, **login("SCRAM-SHA-512", "WRONG")}, "refuses: .*invalid credentials"),
        ("VAULT", {**CLOSED, **login("SCRAM-SHA-512"), **trust(certificate("another"))}, "certificate verify failed"),
        ("CERTIFICATE", {**TLS, **trust()}, "certificate"),
    ],
)
def test_who_is_kept_out_is_told_why(
    secured: LocalBroker, listener: str, properties: Mapping[str, str], why: str
) -> None:
    declared = {**translate(properties).properties, "bootstrap.servers": secured.address(listener)}
    with pytest.raises(BatchlineError, match=why) as caught:
        Brokers(KafkaClusters(environ=ENVIRON)).missing(declared, ["reviews"])
    assert not any(secret in str(caught.value) for secret in ENVIRON.values())
