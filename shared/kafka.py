"""How each Kafka cluster is reached: the operator's file of librdkafka properties, with a section for each cluster.

A section is named by the cluster's bootstrap servers; [DEFAULT] holds for all. `${NAME}` comes from the environment.
"""

import configparser
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException

from shared.errors import KafkaUnavailable, SettingsError
from shared.telemetry import SECRETS
from shared.text_file import NoText, read_text

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
        "OFFSET_NOT_AVAILABLE",
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
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
_MOST_BYTES = 1 << 20
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
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's documented way to keep case
    try:
        parser.read_string(read_text(path, _MOST_BYTES), str(path))
    except OSError as error:
        raise _unusable(path, None, f"can't be read: {error.strerror}") from None
    except NoText as error:
        raise _unusable(path, error.line, f"can't be read: {error}") from None
    except configparser.Error as error:
        raise _unusable(path, *_misread(error)) from None
    sections = {_name(section): dict(parser[section]) for section in parser.sections()}
    return KafkaClusters(sections, dict(parser.defaults()), environ)


def _misread(error: configparser.Error) -> tuple[int | None, str]:
    """The line, and why it can't be read; never what stands there, which may be a password."""
    match error:
        case configparser.MissingSectionHeaderError():
            return error.lineno, "is no file of properties in sections: begin with [host:port], or [DEFAULT] for all"
        case configparser.DuplicateOptionError() | configparser.DuplicateSectionError():
            return error.lineno, "is no file of properties in sections: what this line names stands there before"
        case configparser.ParsingError() if error.errors:
            return error.errors[0][0], "is no file of properties in sections: this line is no `name = value`"
    return None, "is no file of properties in sections"


def _unusable(path: Path, line: int | None, why: str) -> SettingsError:
    where = path if line is None else f"{path}:{line}"
    return SettingsError(f"--kafka-config (BATCHLINE_KAFKA_CONFIG): {where} {why}")


def is_away(error: KafkaError) -> bool:
    """Whether an error says that the cluster can't be reached or is slow, and passes by itself."""
    return error.name() in _AWAY or error.retriable()


@contextmanager
def usable(bootstrap_servers: str) -> Iterator[None]:
    """A client is made in this block. Raises SettingsError for a property that can't be used."""
    try:
        yield
    except KafkaException as error:
        cause = error.args[0]
        if isinstance(cause, KafkaError) and cause.name() in ("_INVALID_ARG", "_UNKNOWN_PROTOCOL"):
            said = SECRETS.redact(cause.str())
            raise SettingsError(
                f"a property of Kafka at {bootstrap_servers} can't be used: {said}; correct it in the sink's DDL, or "
                "in the file of --kafka-config (BATCHLINE_KAFKA_CONFIG)"
            ) from None
        raise


def unavailable(error: KafkaException, doing: str, bootstrap_servers: str) -> Exception:
    """What to raise for a KafkaException: KafkaUnavailable where waiting helps, else the exception itself."""
    cause = error.args[0]
    if isinstance(cause, KafkaError) and is_away(cause):
        return KafkaUnavailable(f"Kafka at {bootstrap_servers} does not answer while {doing}: {cause.str()}")
    return error


def _name(bootstrap_servers: str) -> str:
    return ",".join(sorted(server.strip() for server in bootstrap_servers.split(",") if server.strip()))
