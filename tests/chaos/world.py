"""One run's world: its topics, store, spool, provider and clock, and the lives of desk and poller in it.

A world keeps its lives going: `run_until_quiet` starts again whoever died.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from deploy.sandbox.provider.clock import OffsetClock
from tests.chaos.announcer import Announcer
from tests.chaos.autopsy import stuck
from tests.chaos.case import Case, Verdict
from tests.chaos.census import Census
from tests.chaos.lives import Life
from tests.chaos.older import copied, put_back
from tests.chaos.oracle import judge
from tests.chaos.patience import BOUND, Patience
from tests.chaos.pipeline import Pipeline
from tests.chaos.plan import FailpointPlan
from tests.chaos.remote import Remote
from tests.chaos.slot import Slot
from tests.chaos.steps import Step
from tests.rig.waiting import wait_until

WAVES = 3
"""More than there are kills: a kill that nothing reaches is said, not waited for."""
HOUR = 3600
MONTH = 31 * 24 * HOUR
_TURN = 0.02
_CENSUS = 0.08

Strike = Callable[["World", Step], None]
"""Takes a step of a schedule in a world."""


class World:
    """From `begin` to `close`."""

    def __init__(self, case: Case, slot: Slot, strike: Strike | None = None) -> None:
        self.case, self.slot, self._strike = case, slot, strike
        self.folder = slot.folder / f"run-{uuid4().hex[:10]}"
        self.folder.mkdir()
        self.lives: dict[str, Life] = {}
        """By role: "provider", "desk", "poller", and the names of more pollers."""
        self.frozen: set[Life] = set()
        self.held: dict[str, Any] = {}
        """What a step keeps for a later one."""
        self.kills = 0
        self.notes: list[str] = []
        self.batches_topic, self.progress_topic, self.answers_topic = slot.topics()
        self.bootstrap = slot.broker.bootstrap
        self.store = slot.new_store(case.store, self.folder)
        self.store_file = self.folder / "state.db"
        """Of a store on SQLite."""
        self.provider = Remote(self.folder / "provider", case.seed)
        self.failpoints = FailpointPlan(self.folder / "failpoints", case.kills)
        self.pipeline = Pipeline(self)
        self.census = Census(self.store)
        self._announcer = Announcer(slot.producer, self.batches_topic, self.folder / "told", Random(case.seed))
        self._clock = self.provider.directory / "clock"
        self._away: dict[str, float] = {}
        self._steps = list(case.steps)
        self._began = time.monotonic()
        self.patience = Patience()
        self._waves = 0

    def begin(self) -> None:
        """Start the provider, seal the first wave of files, start desk and poller."""
        self.start_provider()
        self.pipeline.begin()
        self.seal_wave()
        self._began, self.patience = time.monotonic(), Patience()
        self.start_desk()
        self.start_poller()
        if self.case.operator:
            self.start_operator()

    def close(self, keep: Path | None = None) -> None:
        """Kill every life, and remove all that the run made; `keep` is where to move it instead."""
        for life in self.lives.values():
            life.kill()
        self.census.close()
        if keep is not None:
            shutil.copytree(self.folder, keep / self.folder.name, symlinks=True)
        shutil.rmtree(self.folder)
        self.slot.forget_topics()

    def start_desk(self) -> Life:
        spec = {"errand": self.pipeline.errand(), "told": str(self.folder / "told"), "clock": str(self._clock)}
        return self._start("desk", "desk", spec)

    def start_poller(self, name: str = "poller") -> Life:
        """Another name is a second poller beside the first."""
        return self._start(name, "poller", {"settings": self.pipeline.settings(), "clock": str(self._clock)})

    def start_operator(self) -> Life:
        return self._start("operator", "operator", {"state_store": self.store, "clock": str(self._clock)})

    def start_provider(self) -> Life:
        """The first time on a free port; later on the same port, with the state it had on disk."""
        life = self._start("provider", "provider", {**self.provider.spec(), "clock": str(self._clock)})
        wait_until(lambda: self.provider.is_listening() or not life.is_alive, 20, "the provider", interval=0.002)
        return life

    def kill(self, life: Life, *, away: float = 0.0) -> None:
        """SIGKILL; it is started again after `away` seconds."""
        if life.is_alive:
            life.kill()
            self.kills += 1
        self._away[next(name for name, each in self.lives.items() if each is life)] = time.monotonic() + away

    def freeze(self, life: Life) -> None:
        """SIGSTOP. Until it is thawed, the clock may be moved beside it: it would have slept as long."""
        self.frozen.add(life)
        life.freeze()

    def thaw(self, life: Life) -> None:
        self.frozen.discard(life)
        life.thaw()

    def fault(self, name: str, **options: Any) -> None:
        """Switch a fault of the provider on (deploy/sandbox/provider/vocabulary.py). OSError while it is down."""
        self.provider.control("POST", "faults", {"fault": name, **options})

    def clear_faults(self) -> None:
        self.provider.control("DELETE", "faults")

    def restart_broker(self, *, kill: bool) -> None:
        """Take the broker down (SIGKILL, or in good order), and start it on its port with its data."""
        if kill:
            self.slot.broker.kill()
            self.kills += 1
        self.slot.broker.restart()

    def restart_store(self, *, kill: bool) -> None:
        """As `restart_broker`, for PostgreSQL; nothing happens on SQLite."""
        if self.case.store == "postgresql":
            self.slot.postgres.restart(kill=kill)
            self.kills += kill

    def advance(self, seconds: float) -> None:
        """Move the clock of provider, desk and poller; every desk and poller must be dead, or frozen."""
        awake = [life for name, life in self.lives.items() if name != "provider" and life not in self.frozen]
        assert not any(life.is_alive for life in awake)
        if self.lives["provider"].is_alive:
            self.provider.control("POST", "clock", {"advance": seconds})
        else:
            OffsetClock(self._clock).advance(seconds)

    def now(self) -> datetime:
        """The run's time."""
        return datetime.fromtimestamp(OffsetClock(self._clock).now(), UTC)

    def seal_wave(self) -> None:
        """Rename another wave of the case's files into their place."""
        if self.case.forgetful:
            self.held["before"] = self.folder / "before.db"
            wait_until(partial(copied, self.store_file, self.folder / "before.db"), 20, "a copy of the store")
        if self.case.strangers:
            # What is left of the last wave's rules is none of theirs.
            self.clear_faults()
            self.provider.create_as_a_stranger(self.case.strangers)
        for rule in self.case.rules:
            self.fault(rule.fault, **dict(rule.options))
        self.pipeline.seal(self.case.records, self.case.files)
        if self.case.empty:
            self.pipeline.seal_empty(self.case.empty)
        self._waves += 1
        self.patience.struck()

    def run_until_quiet(self, bound: float = BOUND) -> Verdict:
        """Work until every record is out, each kill has struck and each step was taken, or the bound is over.

        The bound counts from the last step or kill, by the run's own time. The verdict is the oracle's.
        """
        asked, left = 0.0, ""
        while not left:
            self._turn()
            if time.monotonic() < asked + _CENSUS or self._steps:
                continue
            asked = time.monotonic()
            if not self.pipeline.is_quiet():
                if self.patience.is_over(bound):
                    left = stuck(self, time.monotonic() - self._began)
                self._pass_time()
                continue
            if self._forget_wave():
                continue
            if self.failpoints.struck == len(self.case.kills) or self._waves > len(self.case.kills) + WAVES:
                break
            self.seal_wave()
        self._announcer.close()
        return judge(self, time.monotonic() - self._began, left)

    def _forget_wave(self) -> bool:
        """Put the store of before the wave back, once, where the case has it so; the rest is to be recalled."""
        copy: Path | None = self.held.pop("before", None)
        if copy is None:
            return False
        self._end_all()
        put_back(copy, self.store_file)
        self.patience.struck()
        return True

    def _pass_time(self) -> None:
        """Where nothing but waiting is left to do, wait by the clock of the run, not the machine's."""
        if not self.patience.wants_an_hour(self.census.last, len(self.pipeline.files)):
            return
        self._end_all()
        self.advance(HOUR if self.pipeline.is_at_work() else MONTH)

    def _end_all(self) -> None:
        """Kill whoever reads the store or the clock."""
        for name, life in self.lives.items():
            if name != "provider":
                life.thaw()
                self.kill(life)

    def _turn(self) -> None:
        """Look once after everything that happens by itself."""
        self.patience.turn()
        while self._steps and self._steps[0].at <= self.patience.elapsed:
            assert self._strike is not None
            self._strike(self, self._steps.pop(0))
            self.patience.struck()
        if self.failpoints.look():
            self.patience.struck()
        self._announcer.tell()
        for name, life in list(self.lives.items()):
            if not life.is_alive:
                self._revive(name, life)
        Life.wait_for_any(self.lives.values(), _TURN)

    def _revive(self, name: str, life: Life) -> None:
        if name not in self._away:
            # It died by itself: of a failpoint, or of a fault of its own.
            self._away[name] = 0.0
            if life.exit_code == -9:
                self.kills += 1
            else:
                self.notes.append(f"{name} ended with {life.exit_code}")
        if time.monotonic() >= self._away[name]:
            del self._away[name]
            getattr(self, f"start_{name}", partial(self.start_poller, name))()

    def _start(self, name: str, role: str, spec: dict[str, Any]) -> Life:
        environ = self.pipeline.environ() | self.failpoints.environ()
        life = self.slot.fork(role, spec | {"weakness": self.case.weakness}, environ, self.folder / f"{name}.log")
        self.lives[name] = life
        return life


def run(
    case: Case, slot: Slot, strike: Strike | None = None, *, bound: float = BOUND, keep: Path | None = None
) -> Verdict:
    """One case from begin to verdict; never raises for what the product does. `keep` gets the files of a failed run."""
    before = slot.cpu()
    world = World(case, slot, strike)
    failed = True
    try:
        world.begin()
        verdict = world.run_until_quiet(bound)
        failed = not verdict.ok
    finally:
        world.close(keep if failed else None)
    return replace(verdict, cpu=slot.cpu() - before)
