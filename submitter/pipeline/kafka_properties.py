"""Flink's `properties.*` of a Kafka table as librdkafka names them: SASL/PLAIN, SCRAM and PEM are translated. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from submitter.pipeline.references import referenced

_SAME = frozenset(
    [
        "security.protocol",
        "client.id",
        "client.dns.lookup",
        "compression.type",
        "linger.ms",
        "request.timeout.ms",
        "metadata.max.age.ms",
        "socket.connection.setup.timeout.ms",
        "reconnect.backoff.ms",
        "reconnect.backoff.max.ms",
        "connections.max.idle.ms",
        "ssl.cipher.suites",
        "ssl.key.password",
    ]
)
_RENAMED = {
    "sasl.mechanism": "sasl.mechanisms",
    "max.request.size": "message.max.bytes",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}
_OTHERS = re.compile(
    r"bootstrap\.servers|group\.(id|instance\.id)|isolation\.level|transactional\.id|transaction\.timeout\.ms"
    r"|enable\.(auto\.commit|idempotence)|auto\.(offset\.reset|commit\.interval\.ms)|partition\.discovery\.interval\.ms"
    r"|fetch\..*|max\.(poll\..*|partition\.fetch\.bytes|in\.flight\..*|block\.ms)|(session|heartbeat)\..*|check\.crcs"
    r"|(key|value)\.(de)?serializer|(receive|send)\.buffer\.bytes|buffer\.memory|batch\.size|retries|retry\.backoff.*"
    r"|partition\.assignment\.strategy|default\.api\.timeout\.ms|allow\.auto\.create\.topics|client\.rack|interceptor\.classes"
    r"|acks|delivery\.timeout\.ms|metric.*|partitioner\..*|exclude\.internal\.topics|register\.consumer\.metrics|commit\.offsets\.on\.checkpoint"
)
"""A consumer's own, or a matter of Flink's client that a publisher decides for itself."""
SECRET = frozenset({"sasl.password", "ssl.key.password", "ssl.key.pem"})
_MODULES = {
    "org.apache.kafka.common.security.plain.PlainLoginModule": "PLAIN",
    "org.apache.kafka.common.security.scram.ScramLoginModule": "SCRAM",
}
_JAAS = re.compile(
    r"\s*(?P<module>[\w.]+)\s+(required|requisite|sufficient|optional)\s+(?P<options>.*?);?\s*", re.DOTALL
)
_OPTION = re.compile(r"""\s*([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"';]+))""")


@dataclass
class Translation:
    """What became of a table's properties."""

    properties: dict[str, str] = field(default_factory=dict)
    untranslatable: dict[str, str] = field(default_factory=dict)
    """Property to the reason."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Properties that hold a secret, by Flink's names, to the secret's text or the reference to it."""

    @property
    def literal_secrets(self) -> list[str]:
        """Properties that hold a secret as it is."""
        return [name for name, value in self.secrets.items() if not referenced(value)]


def translate(properties: Mapping[str, str]) -> Translation:
    """Translate properties without their prefix `properties.`; references to the environment stay as they are."""
    made = Translation()
    origins: dict[str, str] = {}
    for name, value in properties.items():
        if name in _SAME or name in _RENAMED:
            origins[_RENAMED.get(name, name)] = name
            made.properties[_RENAMED.get(name, name)] = value
        elif name in _SPECIAL:
            _SPECIAL[name](made, properties)
        elif not _OTHERS.fullmatch(name):
            made.untranslatable[name] = "there is no such property here"
    for name in sorted(SECRET & made.properties.keys()):
        made.secrets[origins.get(name, "sasl.jaas.config")] = made.properties[name]
    return made


def of_table(options: Mapping[str, str]) -> dict[str, str]:
    """A table's options `properties.*`, without that prefix."""
    return {
        name.removeprefix("properties."): value for name, value in options.items() if name.startswith("properties.")
    }


def passwords(properties: Mapping[str, str]) -> frozenset[str]:
    """What stands as a secret in a table's options `properties.*`, by its place."""
    given = of_table(properties)
    made = translate(given).properties
    return frozenset(
        [made[name] for name in SECRET & made.keys()]
        + [value for name, value in given.items() if name.endswith(".password")]
    )


def _jaas(made: Translation, properties: Mapping[str, str]) -> None:
    name = "sasl.jaas.config"
    match = _JAAS.fullmatch(properties[name])
    # Flink's fat jar holds the client's classes under a prefix of its own.
    module = match["module"].removeprefix("org.apache.flink.kafka.shaded.") if match else ""
    if match is None or module not in _MODULES:
        known = " and ".join(each.rpartition(".")[2] for each in _MODULES)
        made.untranslatable[name] = f"only {known} with username and password are translated"
        return
    options = {
        found[1]: re.sub(r"\\(.)", r"\1", found[2] or found[3] or "") or (found[4] or "")
        for found in _OPTION.finditer(match["options"])
    }
    if "username" not in options or "password" not in options:
        made.untranslatable[name] = "it has no username and password"
        return
    made.properties["sasl.username"], made.properties["sasl.password"] = options["username"], options["password"]
    if module.endswith("PlainLoginModule") and "sasl.mechanism" not in properties:
        made.properties["sasl.mechanisms"] = "PLAIN"


def _endpoint_identification(made: Translation, properties: Mapping[str, str]) -> None:
    name = "ssl.endpoint.identification.algorithm"
    made.properties[name] = properties[name].lower() or "none"


def _store(side: str, targets: tuple[str, ...]) -> Callable[[Translation, Mapping[str, str]], None]:
    """A store that is a PEM file; JKS and PKCS12 with passwords are another matter."""

    def read(made: Translation, properties: Mapping[str, str]) -> None:
        kind = properties.get(f"ssl.{side}.type", "JKS").upper()
        if kind != "PEM":
            made.untranslatable[f"ssl.{side}.location"] = f"a store of type {kind} is not translated; PEM is"
            return
        for target in targets:
            made.properties[target] = properties[f"ssl.{side}.location"]

    return read


def _type(made: Translation, properties: Mapping[str, str]) -> None:
    for side in ("truststore", "keystore"):
        kind = properties.get(f"ssl.{side}.type", "PEM")
        if kind.upper() != "PEM":
            made.untranslatable[f"ssl.{side}.type"] = f"a store of type {kind} is not translated; PEM is"


def _with_its_store(_made: Translation, _properties: Mapping[str, str]) -> None:
    """A PEM file has no password of this kind; what is said of another store's location is enough."""


_SPECIAL: dict[str, Callable[[Translation, Mapping[str, str]], None]] = {
    "sasl.jaas.config": _jaas,
    "ssl.endpoint.identification.algorithm": _endpoint_identification,
    "ssl.truststore.location": _store("truststore", ("ssl.ca.location",)),
    "ssl.keystore.location": _store("keystore", ("ssl.certificate.location", "ssl.key.location")),
    "ssl.truststore.type": _type,
    "ssl.keystore.type": _type,
    "ssl.truststore.password": _with_its_store,
    "ssl.keystore.password": _with_its_store,
}
