"""Sees that the topics of a running job stay the ones that it began with.

Flink goes on reading a topic that was deleted and created again, from wherever its offsets lead. Its records would be
taken for those of the former topic, some of which are paid for: the run has to end, and the next one begins anew.
The command and the desk watch both, each for itself: on a cluster the job, and its desk, outlive the command.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from shared.kafka import LIBRDKAFKA, KafkaClusters, load_clusters, usable
from shared.telemetry import Action, log
from submitter.desk.errand import Errand, Watched
from submitter.pipeline.kafka_properties import SECRET
from submitter.pipeline.references import credentials, unresolved
from submitter.pipeline.values import Statement

PACE_SECONDS = 2.0
_TIMEOUT = 5.0
_ABSENT = KafkaError.UNKNOWN_TOPIC_OR_PART


def watched(statements: Sequence[Statement], environ: Mapping[str, str]) -> tuple[Watched, ...]:
    """What is to be watched of a pipeline: the inputs that have positions.

    References stand in place of the secrets that the environment has.
    """
    inputs = [each for each in statements if each.definition.source]
    known = credentials(
        environ, {value for each in inputs for name, value in each.input.kafka.items() if name in SECRET}
    )
    return tuple(
        Watched(
            kafka={name: unresolved(value, known) for name, value in each.input.kafka.items()},
            topics=dict(each.definition.source.topics if each.definition.source else ()),
        )
        for each in inputs
    )


class TopicGuard:
    """Asks for the topics' ids on a thread of its own: a cluster that is away must not keep the caller waiting."""

    def __init__(self, inputs: Sequence[Watched], clusters: KafkaClusters) -> None:
        self._ids: dict[str, dict[str, str]] = {}
        self._clients: dict[str, Mapping[str, str]] = {}
        for each in inputs:
            servers = each.kafka["bootstrap.servers"]
            self._ids.setdefault(servers, {}).update(each.topics)
            self._clients[servers] = clusters.client(servers, each.kafka)
        self._found: str | None = None
        self._confirmed = -math.inf
        self._silent: str | None = None
        self._wanted, self._over = threading.Event(), threading.Event()

    @contextmanager
    def watching(self) -> Iterator["TopicGuard"]:
        """Ask, again and again, while the block lasts. Raises SettingsError for a property that can't be used."""
        admins: dict[str, AdminClient] = {}
        for servers, client in self._clients.items():
            with usable(servers):
                admins[servers] = AdminClient(dict(client), logger=LIBRDKAFKA)
        thread = threading.Thread(target=self._watch, args=(admins,), name="topics", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._wanted.set()

    def found(self) -> str | None:
        """What is wrong with a topic; None while all are as they were, as far as one knows."""
        return self._found

    def confirms(self, moment: float) -> bool:
        """Whether all topics were seen as they were at a moment of `time.monotonic`, or later; else it is asked soon.

        An id never comes back: whatever was read before that moment is then of these topics.
        """
        if self._confirmed >= moment:
            return True
        self._wanted.set()
        return False

    def _watch(self, admins: Mapping[str, AdminClient]) -> None:
        while admins and self._found is None and not self._over.is_set():
            self._wanted.clear()
            begun = time.monotonic()
            silent = [why for servers, admin in admins.items() if (why := self._look(admin, self._ids[servers]))]
            if self._found is None and not silent:
                self._confirmed = begun
            self._tell(silent[0] if silent else None)
            self._wanted.wait(PACE_SECONDS)

    def _look(self, admin: AdminClient, known: Mapping[str, str]) -> str | None:
        """Why one cluster does not say what its topics are; None where it does.

        A topic that is not there just now is no other one: nothing is read from it.
        """
        silent = None
        for topic, future in admin.describe_topics(TopicCollection(list(known)), request_timeout=_TIMEOUT).items():
            try:
                now = str(future.result(_TIMEOUT).topic_id)
            except (KafkaException, TimeoutError) as error:
                if not _is_absent(error):
                    silent = f"topic {topic}: {error}"
                continue
            if now != known[topic]:
                self._found = (
                    f"topic {topic} was deleted and created again while it was read (its id is {now}, not "
                    f"{known[topic]}): run again, and it is read from its beginning"
                )
        return silent

    def _tell(self, silent: str | None) -> None:
        """Say once that one can't know; what is sealed waits for it."""
        if silent and not self._silent:
            message = f"it does not say whether a topic is still the same, and what is sealed waits: {silent}"
            log(Action.DEPENDENCY_AWAY, logging.WARNING, dependency="kafka", message=message)
        self._silent = silent


@contextmanager
def guarded(errand: Errand, environ: Mapping[str, str]) -> Iterator[TopicGuard]:
    """Watch an errand's topics while the block lasts."""
    file = errand.kafka_config or environ.get("BATCHLINE_KAFKA_CONFIG")
    with TopicGuard(errand.watched, load_clusters(Path(file) if file else None, environ)).watching() as guard:
        yield guard


def _is_absent(error: Exception) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() == _ABSENT
