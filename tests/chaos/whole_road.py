"""Whole-road schedules: the real commands with Flink; processes, broker and database killed when a seed says so.

Each wave of records has one blow; whoever does not come back by itself is started again, as a supervisor would.
"""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal

import psutil
from confluent_kafka import KafkaException

from deploy.sandbox.broker import BrokerError, LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from tests.acceptance.road import START_SECONDS, Road
from tests.chaos.case import Case, ProviderName, StoreKind, Verdict
from tests.chaos.exhaustive import COMBINATIONS
from tests.rig.postgres import PostgresServer, postgres_binaries, postgres_server
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

Victim = Literal["jvm", "worker", "desk", "poller", "submitter", "broker", "database"]
VICTIMS: tuple[Victim, ...] = ("jvm", "worker", "desk", "poller", "submitter", "broker", "database")
"""A database is killed only where there is a server."""
WAVE = 60
"""Records between two blows."""
BATCH = 20
"""Records of a batch, at most."""


@dataclass(frozen=True)
class Blow:
    """Who is killed, once so many of a wave's batches are created or so many of its outputs are out."""

    victim: Victim
    seen: Literal["creates", "outputs"]
    share: float


@dataclass(frozen=True)
class RoadCase:
    """A whole-road schedule, replayable from its seed."""

    seed: int
    provider: ProviderName
    store: StoreKind
    blows: tuple[Blow, ...]


def road_case(seed: int, blows: int = 3) -> RoadCase:
    """The whole-road schedule of a seed. Four seeds in a row are on all combinations of provider and store."""
    random, (provider, store) = Random(f"road {seed}"), COMBINATIONS[seed % len(COMBINATIONS)]
    victims = random.sample(VICTIMS if store == "postgresql" else VICTIMS[:-1], blows)
    drawn = tuple(Blow(victim, random.choice(("creates", "outputs")), random.random() * 0.8) for victim in victims)
    return RoadCase(seed, provider, store, drawn)


def judged(case: RoadCase) -> Verdict:
    """Run a schedule; what is broken stands in the verdict."""
    began, records = time.monotonic(), WAVE * (len(case.blows) + 1)
    broken: tuple[str, ...] = ()
    with TemporaryDirectory(prefix="batchline-road-") as folder:
        try:
            run_road(case, Path(folder))
        except (AssertionError, OSError, KafkaException, BrokerError) as error:
            broken = (f"{type(error).__name__}: {error}",)
    stated = Case(case.provider, case.store, records=records, seed=case.seed)
    return Verdict(stated, broken, records, len(case.blows), seconds=time.monotonic() - began)


def run_road(case: RoadCase, folder: Path) -> None:
    """Run a schedule in a folder of its own; AssertionError for a promise that is broken."""
    processes = Processes(folder / "logs")
    try:
        with ExitStack() as stack:
            broker = stack.enter_context(LocalBroker())
            server = stack.enter_context(ProviderServer(folder / "provider", processing_seconds=0.5))
            database = _database(stack) if case.store == "postgresql" else None
            store = database.url(database.create_database()) if database else ""
            road = Road(broker, server, processes, folder / "road", provider=case.provider, store=store, bounded=False)
            _Drive(road, broker, database).through(case)
            road.check()
            assert road.secrets() == []
    finally:
        processes.close()


def _database(stack: ExitStack) -> PostgresServer:
    binaries = postgres_binaries()
    if binaries is None:
        raise BrokerError("PostgreSQL's server isn't installed (Debian, Ubuntu: apt-get install postgresql)")
    return stack.enter_context(postgres_server(binaries))


class _Drive:
    """Keeps both commands alive, and strikes."""

    def __init__(self, road: Road, broker: LocalBroker, database: PostgresServer | None) -> None:
        self._road, self._broker, self._database = road, broker, database
        road.folder.mkdir(parents=True, exist_ok=True)
        self._sql = road.write(road.model(**{"batch.max-age": "1 s", "batch.max-requests": str(BATCH)}), road.insert())
        self._submitter, self._poller = road.submitter(self._sql), road.poller()

    def through(self, case: RoadCase) -> None:
        for number, blow in enumerate(case.blows):
            due = partial(self._has_seen, blow, self._seen(blow.seen))
            self._road.produce([f"wave {number} review {each}" for each in range(WAVE)])
            self._until(due, f"{blow} to fall due")
            self._strike(blow.victim)
        # One wave more, so that whoever was started last has worked before it is asked to stop.
        self._road.produce([f"last wave review {each}" for each in range(WAVE)])
        self._until(lambda: self._seen("outputs") >= len(self._road.produced), "every record to be out")
        self._stop()

    def _stop(self) -> None:
        self._submitter.signal(signal.SIGTERM)
        assert self._submitter.wait(60) == 0, self._submitter.tail()
        assert self._poller.terminate() == 0, self._poller.tail()

    def _has_seen(self, blow: Blow, before: int) -> bool:
        new = self._seen(blow.seen) - before
        return new > blow.share * (WAVE if blow.seen == "outputs" else WAVE / BATCH)

    def _seen(self, what: Literal["creates", "outputs"]) -> int:
        return len(self._road.server.witness().creates() if what == "creates" else self._road.outputs())

    def _until(self, is_due: Callable[[], bool], what: str) -> None:
        def due() -> bool:
            self._supervise()
            return is_due()

        wait_until(due, START_SECONDS, what, interval=0.2)

    def _supervise(self) -> None:
        """Start again who has ended."""
        if not self._submitter.running:
            self._submitter = self._road.submitter(self._sql)
        if not self._poller.running:
            self._poller = self._road.poller()

    def _strike(self, victim: Victim) -> None:
        if victim == "broker":
            self._broker.kill()
            self._broker.restart()
        elif victim == "database":
            assert self._database
            self._database.restart(kill=True)
        elif victim in ("submitter", "poller"):
            (self._submitter if victim == "submitter" else self._poller).kill()
        else:
            # One that has just died by itself comes again: a blow that hits nobody proves nothing.
            self._until(lambda: _kill(self._submitter, victim), f"a {victim} to kill")


def _kill(command: Child, victim: Victim) -> bool:
    """Kill all of a kind below a command; whether there were any."""
    try:
        found = [each for each in psutil.Process(command.pid).children(recursive=True) if _is(each, victim)]
    except psutil.NoSuchProcess:
        return False
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return bool(found)


def _is(process: psutil.Process, victim: Victim) -> bool:
    """Whether a process of the submitter's is this one."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    marks = {"jvm": "java", "worker": "beam_boot", "desk": "submitter.desk.main"}
    return process.name() == "java" if victim == "jvm" else marks[victim] in line
