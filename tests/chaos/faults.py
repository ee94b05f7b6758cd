"""What each step of a schedule does to a world. Every action returns at once, but for those that restart something."""

import resource
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

from confluent_kafka import Producer

from shared.lease import TTL
from tests.chaos.draft import HIDDEN
from tests.chaos.lives import Life
from tests.chaos.older import copied, put_back
from tests.chaos.steps import Step
from tests.chaos.world import World

COPY = "copy.db"
LAPSED = TTL.total_seconds() + 1
HOSTILE = (
    (b"nobody", b"no JSON at all"),
    (b"../../etc/passwd", b'{"version": 1, "batch_key": "../../etc/passwd"}'),
    (b"k", b"null"),
    (b"gone", None),
    (None, b"\xff\xfe\x00"),
)
"""Keys and values on the batches topic that are no events of ours."""


def strike(world: World, step: Step) -> None:
    """Take one step of a schedule."""
    ACTIONS[step.do](world, **step.given())


def _life(world: World, role: str) -> Life | None:
    life = world.lives.get(role)
    return life if life is not None and life.is_alive else None


def _fault(world: World, fault: str, **options: Any) -> None:
    # A provider that is down takes none, and loses those that it had.
    with suppress(OSError):
        world.fault(fault, **options)


def _kill(world: World, life: str, away: float) -> None:
    victim = _life(world, life)
    if victim is not None:
        world.kill(victim, away=away)


def _kill_all(world: World) -> None:
    """End whoever reads the store or the clock."""
    for role in list(world.lives):
        if role != "provider":
            _kill(world, role, 0.0)


def _freeze(world: World, life: str) -> None:
    victim = _life(world, life)
    if victim is not None:
        world.freeze(victim)


def _thaw(world: World, life: str) -> None:
    victim = _life(world, life)
    if victim is not None:
        world.thaw(victim)


def _second_poller(world: World) -> None:
    world.start_poller("second")


def _seal(world: World) -> None:
    world.seal_wave()


def _restart_broker(world: World) -> None:
    world.restart_broker(kill=True)


def _restart_store(world: World) -> None:
    world.restart_store(kill=True)


def _calm(world: World) -> None:
    """From here on the provider does as it should."""
    with suppress(OSError):
        world.clear_faults()


def _overtake(world: World, life: str) -> None:
    """One process sleeps for longer than its leases last; the others find them lapsed."""
    sleeper = _life(world, life)
    if sleeper is None or sleeper not in world.frozen:
        return
    for role, other in list(world.lives.items()):
        if role != "provider" and other is not sleeper:
            _kill(world, role, 0.0)
    _come_late(world)
    world.advance(LAPSED)
    if life == "poller":
        world.start_poller("second")


def _come_late(world: World) -> None:
    """What the provider is still late with comes before the hours that pass, not after them."""
    _thaw(world, "provider")
    Event().wait(HIDDEN)


def _jump(world: World, seconds: float) -> None:
    """Hours pass while nobody works."""
    _kill_all(world)
    _come_late(world)
    world.advance(seconds)


def _lock_store(world: World) -> None:
    """A writer that takes its time. A process that is frozen while it writes is one already."""
    connection = sqlite3.connect(world.store_file, isolation_level=None, timeout=0.3)
    with suppress(sqlite3.OperationalError):
        connection.execute("BEGIN IMMEDIATE")
        world.held["lock"] = connection


def _unlock_store(world: World) -> None:
    lock: sqlite3.Connection | None = world.held.pop("lock", None)
    if lock is not None:
        lock.execute("ROLLBACK")
        lock.close()


def _copy_store(world: World) -> None:
    """One of the processes may be frozen at it."""
    if copied(world.store_file, world.folder / COPY):
        world.held["copy"] = world.folder / COPY


def _put_back_store(world: World) -> None:
    copy: Path | None = world.held.pop("copy", None)
    if copy is None:
        return
    _unlock_store(world)
    _kill_all(world)
    put_back(copy, world.store_file)


def _disk_full(world: World, life: str) -> None:
    """No file of this process may grow any more: neither in the spool, nor an SQLite store."""
    victim = _life(world, life)
    if victim is not None:
        _, hard = resource.prlimit(victim.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (0, hard))


def _disk_free(world: World, life: str) -> None:
    victim = _life(world, life)
    if victim is not None:
        _, hard = resource.prlimit(victim.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (hard, hard))


def _foreign_events(world: World, count: int) -> None:
    producer = Producer({"bootstrap.servers": world.bootstrap})
    for key, value in HOSTILE[:count]:
        producer.produce(world.batches_topic, value, key)
    producer.flush(10)


ACTIONS: dict[str, Callable[..., None]] = {
    "fault": _fault,
    "kill": _kill,
    "freeze": _freeze,
    "thaw": _thaw,
    "second_poller": _second_poller,
    "calm": _calm,
    "overtake": _overtake,
    "seal": _seal,
    "restart_broker": _restart_broker,
    "restart_store": _restart_store,
    "jump": _jump,
    "lock_store": _lock_store,
    "unlock_store": _unlock_store,
    "copy_store": _copy_store,
    "put_back_store": _put_back_store,
    "disk_full": _disk_full,
    "disk_free": _disk_free,
    "foreign_events": _foreign_events,
}
"""By the name that a step gives."""
