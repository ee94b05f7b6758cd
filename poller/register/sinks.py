"""Which cluster a sink stands on: its identity, asked for once, so that a batch gets its shard there."""

import threading
import time
from collections.abc import Callable

from shared.definition import Sink
from shared.errors import KafkaUnavailable
from shared.kafka import KafkaClusters
from shared.topics import cluster_id

_REST = 30.0
"""Seconds before a cluster that did not answer is asked again."""


class SinkClusters:
    """The identity of each sink's cluster, kept for the life of the process."""

    def __init__(self, clusters: KafkaClusters, ask: Callable[[dict[str, str]], str] = cluster_id) -> None:
        self._clusters, self._ask = clusters, ask
        self._known: dict[str, str] = {}
        self._away: dict[str, tuple[float, KafkaUnavailable]] = {}
        self._lock = threading.Lock()

    def identify(self, sink: Sink) -> str:
        """The cluster id. Raises KafkaUnavailable, without asking again at once, while it does not answer."""
        servers = sink.bootstrap_servers
        with self._lock:
            if servers not in self._known:
                self._known[servers] = self._ask_rarely(servers, sink)
            return self._known[servers]

    def _ask_rarely(self, servers: str, sink: Sink) -> str:
        until, error = self._away.get(servers, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error
        try:
            return self._ask(self._clusters.client(servers, sink.kafka))
        except KafkaUnavailable as unavailable:
            self._away[servers] = (time.monotonic() + _REST, unavailable)
            raise
