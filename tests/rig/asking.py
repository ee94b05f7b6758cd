"""The synchronous road on a stage: batches whose deadline nears, asked record by record until everything is out.

`python -m tests.rig.asking FOLDER` asks what is due in a stage's folder, as a poller's process does, until
it is killed.
"""

import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from poller.accounts import Keyless
from poller.ask.asker import Asker, Pass
from poller.ask.deadline import DEADLINE, DeadlinePolicy
from poller.ask.harvester import Harvester
from poller.ask.pacing import PacePolicy, Paces
from poller.ask.roads import Roads
from poller.ask.stretch import Asking
from poller.collect.collector import Collecting, Collector
from poller.health import Watchdog
from poller.schedule import Backoff
from shared.lease import Keeper, this_process
from shared.lifecycle import SUBMITTABLE, TERMINAL
from shared.store import Batch
from tests.rig.samples import EPOCH
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.rig.results import Back

SOON = timedelta(milliseconds=100)
QUICK = Backoff(SOON, 2 * SOON)
PACE = PacePolicy(throttled=QUICK, rest=QUICK)
PASS = Pass(stretch=10.0, asking=Asking(call_timeout=timedelta(seconds=5), linger=0.02, patience=timedelta(seconds=1)))


def deadline_in(stage: Stage, wait: timedelta) -> float:
    """A `batch.deadline` that ends so long from now; the stage's files are sealed long ago."""
    return (stage.clock() + wait - EPOCH).total_seconds()


@dataclass
class Road:
    """The duties of the synchronous road, with memories of their own."""

    stage: Stage
    how: Pass = PASS
    pace: PacePolicy = PACE
    policy: DeadlinePolicy = DEADLINE
    paces: Paces = field(init=False)

    def __post_init__(self) -> None:
        self.paces = Paces(self.pace)

    def asker(self, stop: threading.Event | None = None) -> Asker:
        stage = self.stage
        how = replace(self.how, stop=stop or threading.Event())
        keeper, keyless = self._common()
        return Asker(
            stage.store, stage.spool, stage.models().provider_of, keeper, self._roads(), keyless, stage.clock, how
        )

    def harvester(self) -> Harvester:
        stage, models = self.stage, self.stage.models()
        keeper, keyless = self._common()
        return Harvester(stage.store, stage.spool, models, keeper, self._roads(), keyless, stage.clock, self.policy)

    def collector(self) -> Collector:
        stage, (keeper, _) = self.stage, self._common()
        how = Collecting(timedelta(), QUICK, self.policy, self.paces)
        watchdog = Watchdog(stage.store, this_process())
        return Collector(
            stage.store, stage.spool, stage.models().provider_of, keeper, watchdog, stage.clock, collecting=how
        )

    def finish(self, back: "Back", key: str) -> list[Batch]:
        """Work on a batch and all that comes of it, on either road, until everything is out; the family."""
        stage, submission = self.stage, self.stage.submission()
        publisher = back.publisher()
        duties = (self.harvester(), stage.watcher(), self.asker(), back.collector(), publisher)

        def is_out() -> bool:
            for batch in back.family(key):
                if batch.state in SUBMITTABLE:
                    submission.work(batch.batch_key)
                if batch.shard is None:
                    back.assign(batch.batch_key)
            for duty in duties:
                duty.run_once()
            return all(batch.state in TERMINAL for batch in back.family(key))

        try:
            wait_until(is_out, 90, lambda: f"the family to be out, it is {back.family(key)}")
        finally:
            publisher.close()
        return back.family(key)

    def _roads(self) -> Roads:
        return Roads(self.stage.store, self.paces, self.stage.clock, self.policy)

    def _common(self) -> tuple[Keeper, Keyless]:
        store = self.stage.store
        return Keeper(store, this_process()), Keyless(Watchdog(store, this_process()), self.stage.clock)


def main(folder: str) -> None:
    stage = Stage(None, Path(folder))  # type: ignore[arg-type]  # the definitions in the store name its address
    asker = Road(stage).asker()
    never = threading.Event()
    while not never.wait(0.02):
        asker.run_once()


if __name__ == "__main__":
    main(*sys.argv[1:])
