"""Kafka behind passwords and TLS: what a table's DDL says is enough for Flink, for `check` and for the publisher."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider import ProviderServer
from shared.messages import PROGRESS_TOPIC
from tests.acceptance.again import PATIENCE
from tests.acceptance.road import Road
from tests.rig.kafka import read_topic
from tests.rig.processes import Processes
from tests.rig.security import Certificate, add_user, certificate, listeners, truststore

pytestmark = pytest.mark.timeout(900)
USER, PASSWORD, TRUST = "alice", "password-of-kafka-0451", "password-of-truststore-0451"
_SECURITY = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
Options = Mapping[str, str]


@dataclass(frozen=True)
class Authority:
    """Who signs, and a client that was signed."""

    own: Certificate = field(default_factory=lambda: certificate("authority"))

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", certificate("client", self.own))

    client: Certificate = field(init=False)

    @property
    def trusted(self) -> Options:
        return {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": self.own.pem}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def secured(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    made = listeners(tmp_path_factory.mktemp("keys"), authority.own, USER, PASSWORD)
    with LocalBroker(listeners=made) as broker:
        add_user(broker.bootstrap, USER, PASSWORD)
        yield broker


def login(mechanism: str) -> Options:
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    return {
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f'{_SECURITY}.{module} required username="{USER}" password="${{KAFKA_PASSWORD}}";',
    }


@dataclass
class Secured(Road):
    """A road whose tables come by other addresses than its own broker's; table to (listener, properties)."""

    entrances: Mapping[str, tuple[str, Options]] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, **self.more}

    def tables(self) -> str:
        sink = "'key.format' = 'json', 'key.fields' = 'id', 'value.format' = 'json'"
        source = "'format' = 'json', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'"
        return "\n".join(
            f"CREATE TABLE {name} (id INT, {'review' if name == 'reviews' else 'answer'} STRING) WITH ("
            f"'connector' = 'kafka', 'topic' = '{self.topic(name)}', {self.reached(name)}, "
            f"{source if name == 'reviews' else sink});"
            for name in self.entrances
        )

    def reached(self, table: str) -> str:
        listener, properties = self.entrances[table]
        given = {"bootstrap.servers": self.broker.address(listener), **properties}
        return ", ".join(f"'properties.{name}' = '{value}'" for name, value in given.items())

    def leaks(self, *secrets: str) -> list[str]:
        """Where a secret stands: files of the store, the spool and the logs; topics."""
        sought = [secret.encode() for secret in secrets]
        files = (path for path in self.folder.rglob("*") if path.is_file())
        found = [str(path) for path in files if any(secret in path.read_bytes() for secret in sought)]
        for topic in (*map(self.topic, ("reviews", "answers", "others", "batches")), PROGRESS_TOPIC):
            records = read_topic(self.broker.bootstrap, topic)
            kept = [part for each in records for part in (each.key, each.value, *each.headers.values()) if part]
            found += [topic for part in kept if any(secret in part for secret in sought)]
        return found


def test_what_the_tables_say_is_enough_for_every_program(
    secured: LocalBroker, authority: Authority, provider_server: ProviderServer, processes: Processes, tmp_path: Path
) -> None:
    """SCRAM-SHA-256 in; out by SCRAM-SHA-512 over TLS, by a client's certificate, and by PLAIN."""
    own = {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": authority.client.pem}
    road = Secured(
        secured,
        provider_server,
        processes,
        tmp_path,
        entrances={
            "reviews": ("PASSWORD", {"security.protocol": "SASL_PLAINTEXT", **login("SCRAM-SHA-256")}),
            "answers": ("VAULT", {"security.protocol": "SASL_SSL", **login("SCRAM-SHA-512"), **authority.trusted}),
            "others": (
                "CERTIFICATE",
                {"security.protocol": "SSL", **authority.trusted, **own, "ssl.keystore.key": "${CLIENT_KEY}"},
            ),
            "third": ("PASSWORD", {"security.protocol": "SASL_PLAINTEXT", **login("PLAIN")}),
        },
        more={"KAFKA_PASSWORD": PASSWORD, "CLIENT_KEY": authority.client.key_pem},
    )
    road.create_topic("third")
    road.produce([f"review {number}" for number in range(40)])
    sql = road.write(
        road.model(**{"batch.max-age": "2 s"}),
        *(road.insert(sink) for sink in ("answers", "others", "third")),
        settings={"batchline.bootstrap-servers": secured.bootstrap},
    )
    poller, submitter = road.poller(), road.submitter(sql)
    assert submitter.wait(PATIENCE) == 0, submitter.tail()
    for sink in ("answers", "others", "third"):
        road.wait_for(40, sink, deadline=PATIENCE)
        road.check(sink, paid=3)
    assert road.poller("status", "--json").wait(60) == 0
    assert poller.terminate() == 0
    body = authority.client.key_pem.splitlines()[1]
    assert road.leaks(PASSWORD, body) == []


def test_what_librdkafka_can_not_read_stands_in_the_operator_s_file(
    secured: LocalBroker, authority: Authority, provider_server: ProviderServer, processes: Processes, tmp_path: Path
) -> None:
    """A Java truststore; the batches topic stands behind the same address."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "trust.p12").write_bytes(truststore(authority.own, TRUST))
    (folder / "ca.pem").write_text(authority.own.pem)
    java = {
        "security.protocol": "SASL_SSL",
        **login("SCRAM-SHA-512"),
        "ssl.truststore.type": "PKCS12",
        "ssl.truststore.location": str(folder / "trust.p12"),
        "ssl.truststore.password": "${TRUST_PASSWORD}",
    }
    road = Secured(
        secured,
        provider_server,
        processes,
        tmp_path,
        entrances=dict.fromkeys(("reviews", "answers"), ("VAULT", java)),
        more={"KAFKA_PASSWORD": PASSWORD, "TRUST_PASSWORD": TRUST},
    )
    road.produce([f"review {number}" for number in range(40)])
    sql = road.write(road.model(**{"batch.max-age": "2 s"}), road.insert())

    refused = road.submitter(sql)
    assert refused.wait(PATIENCE) == 2, refused.tail()
    for table in ("sink answers", "input reviews"):
        assert f"{table}: option 'properties.ssl.truststore.location'" in refused.tail(60)
    assert "a store of type PKCS12 is not translated" in refused.tail(60)
    assert "export BATCHLINE_KAFKA_CONFIG" in refused.tail(60)

    operators = folder / "kafka.ini"
    operators.write_text(
        f"[{secured.address('VAULT')}]\nsecurity.protocol = SASL_SSL\nsasl.mechanisms = SCRAM-SHA-512\n"
        f"sasl.username = {USER}\nsasl.password = ${{KAFKA_PASSWORD}}\nssl.ca.location = {folder / 'ca.pem'}\n"
    )
    road.more |= {"BATCHLINE_KAFKA_CONFIG": str(operators), "BATCHLINE_BOOTSTRAP_SERVERS": secured.address("VAULT")}
    poller, submitter = road.poller(), road.submitter(sql)
    assert submitter.wait(PATIENCE) == 0, submitter.tail()
    road.wait_for(40, deadline=PATIENCE)
    road.check()
    assert road.poller("status", "--json").wait(60) == 0
    assert poller.terminate() == 0
    assert road.leaks(PASSWORD, TRUST) == []
