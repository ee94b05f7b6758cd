"""How often each of the poller's duties looks, and how long it is patient; only tests of time itself set it."""

from dataclasses import dataclass

from poller.ask.asker import PASS, Pass
from poller.ask.deadline import DEADLINE, DeadlinePolicy
from poller.ask.pacing import PACE, PacePolicy
from poller.collect.collector import COLLECTING, Collecting
from poller.publish.outbox import Bounds
from poller.publish.outboxes import BOUNDS
from poller.publish.publisher import BACKOFF
from poller.schedule import Backoff
from poller.watch.looks import BOUNCE
from poller.watch.watcher import WATCHING, Watching
from shared.refusals import WAITS, Waits


@dataclass(frozen=True)
class Tempo:
    """Seconds after which a duty looks again when nobody has woken it; and how long what failed is left alone."""

    recall: float = 600.0
    rescue: float = 1.0
    harvest: float = 5.0
    ask: float = 1.0
    collect: float = 1.0
    publish: float = 1.0
    audit: float = 600.0
    janitor: float = 600.0
    listen: float = 1.0
    """That the registrar waits for an event: it is told of a stop between two waits."""
    waits: Waits = WAITS
    collecting: Collecting = COLLECTING
    watching: Watching = WATCHING
    publishing: Backoff = BACKOFF
    bounce: Backoff = BOUNCE
    bounds: Bounds = BOUNDS
    """Of a transaction."""
    deadline: DeadlinePolicy = DEADLINE
    pace: PacePolicy = PACE
    asking: Pass = PASS
    single_pass: float = 30.0
    """That a single pass asks record by record, at most; the next one goes on."""


TEMPO = Tempo()
