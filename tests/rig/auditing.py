"""Creates that show after their quarantine, and what an auditor says of them."""

from datetime import timedelta

from poller.operate.status import report
from poller.upkeep.auditor import Auditor
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.store import Stray
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

HIDDEN = 3600
"""Seconds that such a create is hidden."""


def twice(stage: Stage) -> str:
    """A batch whose first create was accepted, lost, and hidden for longer than its quarantine; its key."""
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    return submitted(stage, stage.plan())


def submitted(stage: Stage, key: str, state: State = State.SUBMITTED) -> str:
    submission = stage.submission()

    def is_there() -> bool:
        submission.work(key)
        return stage.batch(key).state is state

    wait_until(is_there, 30, lambda: f"{key} to be {state}, it is {stage.batch(key)}")
    return key


def collected(stage: Stage, key: str) -> None:
    """Let the provider finish everything, and the results be collected: they prove whose they are."""
    stage.server.advance(2 * HIDDEN)
    stage.watch_until(key, State.ENDED)
    stage.store.batches.apply(key, Event.COLLECT, succeeded=stage.batch(key).records)


def auditor(stage: Stage, *exclusive: str) -> Auditor:
    keeper = Keeper(stage.store, this_process())
    return Auditor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, exclusive=exclusive)


def strays(stage: Stage) -> list[Stray]:
    return stage.store.strays.since(stage.clock() - timedelta(hours=1))


def creates(stage: Stage) -> list[str]:
    return [str(event["batch"]) for event in stage.server.witness().creates(stage.provider)]


def cancelled(stage: Stage) -> list[str]:
    return [str(event["batch"]) for event in stage.server.witness().events("cancel")]


def told(stage: Stage) -> list[str]:
    return [each.message for each in report(stage.store, stage.clock).attention if each.kind == "stray"]


def follow_to_its_end(stage: Stage, audit: Auditor) -> None:
    """Let the provider finish everything, and the auditor see it."""
    stage.server.advance(3 * HIDDEN)

    def is_settled() -> bool:
        audit.run_once()
        return not stage.store.strays.open()

    wait_until(is_settled, 30, lambda: f"the strays to be settled: {stage.store.strays.open()}")


def bill(stage: Stage, provider_batch: str) -> tuple[int, int]:
    billed = [entry for entry in stage.server.witness().billed() if entry.batch == provider_batch]
    return sum(entry.input_tokens for entry in billed), sum(entry.output_tokens for entry in billed)
