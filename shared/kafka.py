"""How each Kafka cluster is reached: the operator's file of librdkafka properties, with a section for each cluster.

A section is named by the cluster's bootstrap servers; [DEFAULT] holds for all. `${NAME}` comes from the environment.
"""

import configparser
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException

from shared.errors import KafkaUnavailable, SettingsError
from shared.telemetry import SECRETS

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# By name: the codes of librdkafka's own errors are no public constants.
_AWAY = frozenset(
    [
        "_ALL_BROKERS_DOWN",
        "_TRANSPORT",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_RESOLVE",
        "_WAIT_COORD",
        "_MSG_TIMED_OUT",
        "BROKER_NOT_AVAILABLE",
        "LEADER_NOT_AVAILABLE",
        "NOT_LEADER_FOR_PARTITION",
        "NOT_CONTROLLER",
        "REQUEST_TIMED_OUT",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "NETWORK_EXCEPTION",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    ]
)
LIBRDKAFKA = logging.getLogger("librdkafka")
"""What clients are told to log to; a cluster that is away is said once, by us."""
LIBRDKAFKA.setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class KafkaClusters:
    """The librdkafka properties of each cluster; a client adds its own (group, transactional id) to them."""

    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the set of bootstrap servers, sorted and joined with commas."""
    default: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def client(self, bootstrap_servers: str, declared: Mapping[str, str] | None = None) -> dict[str, str]:
        """The properties for a client of a cluster; the file wins over `declared`, what a sink's own DDL says.

        Raises SettingsError for a `${NAME}` that is not set.
        """
        section = self.sections.get(_name(bootstrap_servers), self.default)
        properties = {"bootstrap.servers": bootstrap_servers, **(declared or {}), **section}
        return {name: self._resolve(name, value) for name, value in properties.items()}

    def _resolve(self, name: str, value: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[1] not in self.environ:
                raise SettingsError(f"Kafka property {name} refers to ${{{match[1]}}}, which is not set: export it")
            SECRETS.name(match[1])
            return self.environ[match[1]]

        return _REFERENCE.sub(replace, value)


def load_clusters(path: Path | None, environ: Mapping[str, str]) -> KafkaClusters:
    """The clusters of BATCHLINE_KAFKA_CONFIG; without a file, none has properties of its own.

    Raises SettingsError that names the file, and the line where there is one.
    """
    if path is None:
        return KafkaClusters(environ=environ)
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise SettingsError(
            f"--kafka-config (BATCHLINE_KAFKA_CONFIG): {path} can't be read: {error.strerror}"
        ) from None
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"--kafka-config (BATCHLINE_KAFKA_CONFIG): {path} is no file of properties in sections: {reason}"
        ) from None
    sections = {_name(section): dict(parser[section]) for section in parser.sections()}
    return KafkaClusters(sections, dict(parser.defaults()), environ)


def is_away(error: KafkaError) -> bool:
    """Whether an error says that the cluster can't be reached or is slow, and passes by itself."""
    return error.name() in _AWAY or error.retriable()


def unavailable(error: KafkaException, doing: str, bootstrap_servers: str) -> Exception:
    """What to raise for a KafkaException: KafkaUnavailable where waiting helps, else the exception itself."""
    cause = error.args[0]
    if isinstance(cause, KafkaError) and is_away(cause):
        return KafkaUnavailable(f"Kafka at {bootstrap_servers} does not answer while {doing}: {cause.str()}")
    return error


def _name(bootstrap_servers: str) -> str:
    return ",".join(sorted(server.strip() for server in bootstrap_servers.split(",") if server.strip()))
