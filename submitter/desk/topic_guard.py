"""Sees that the topics of a running job stay the ones that it began with.

Flink goes on reading a topic that was deleted and created again, from wherever its offsets lead. Its records would be
taken for those of the former topic, some of which are paid for: the run has to end, and the next one begins anew.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from shared.kafka import LIBRDKAFKA, KafkaClusters
from submitter.desk.errand import Watched
from submitter.pipeline.values import Statement

PACE_SECONDS = 2.0
_TIMEOUT = 5.0


def watched(statements: Sequence[Statement]) -> tuple[Watched, ...]:
    """What is to be watched of a pipeline: the inputs that have positions."""
    return tuple(
        Watched(kafka=dict(each.input.kafka), topics=dict(each.definition.source.topics))
        for each in statements
        if each.definition.source
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
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator["TopicGuard"]:
        """Ask, again and again, while the block lasts."""
        thread = threading.Thread(target=self._watch, name="topics", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()

    def found(self) -> str | None:
        """What is wrong with a topic; None while all are as they were, as far as one knows."""
        return self._found

    def _watch(self) -> None:
        admins = {servers: AdminClient(dict(client), logger=LIBRDKAFKA) for servers, client in self._clients.items()}
        while admins and self._found is None and not self._over.wait(PACE_SECONDS):
            for servers, admin in admins.items():
                self._found = self._found or self._look(admin, self._ids[servers])

    def _look(self, admin: AdminClient, known: Mapping[str, str]) -> str | None:
        """What one cluster says; one that is away, or has no such topic just now, proves nothing."""
        for topic, future in admin.describe_topics(TopicCollection(list(known)), request_timeout=_TIMEOUT).items():
            try:
                now = str(future.result(_TIMEOUT).topic_id)
            except (KafkaException, TimeoutError):
                continue
            if now != known[topic]:
                return (
                    f"topic {topic} was deleted and created again while it was read (its id is {now}, not "
                    f"{known[topic]}): run again, and it is read from its beginning"
                )
        return None
