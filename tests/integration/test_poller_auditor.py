"""A create that showed after its quarantine: the residual of every look-up, found, cancelled and told."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.sandbox.provider import ProviderServer
from poller.auditor import Auditor
from poller.status import report
from shared.lease import Keeper, this_process
from shared.lifecycle import State
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

HIDDEN = 3600


@pytest.fixture(params=["openai", "anthropic"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with ProviderServer(tmp_path / "provider", processing_seconds=2 * HIDDEN) as server:
        made = Stage(server, tmp_path, request.param)
        yield made
        made.store.close()


def twice(stage: Stage) -> str:
    """A batch whose first create was accepted, lost, and hidden for longer than its quarantine; its key."""
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    key = stage.plan()
    submission = stage.submission()

    def submitted() -> bool:
        submission.work(key)
        batch = stage.store.batches.get(key)
        return batch is not None and batch.state is State.SUBMITTED

    wait_until(submitted, 30, "the second create")
    return key


def test_a_create_that_showed_late_is_found_told_and_cancelled(stage: Stage) -> None:
    key = twice(stage)
    first, second = [event["batch"] for event in stage.server.witness().creates()]
    auditor = Auditor(stage.store, stage.models().provider_of, Keeper(stage.store, this_process()), stage.clock)
    assert auditor.run_once() == {"checked": 1}, "what is hidden can't be found yet"
    stage.server.advance(HIDDEN)
    assert auditor.run_once() == {"strays": 1}
    (stray,) = stage.store.strays.since(stage.clock() - timedelta(hours=1))
    assert (stray.provider_batch_id, stray.batch_key) == (first, key)
    batch = stage.store.batches.get(key)
    assert batch is not None
    assert batch.provider_batch_id == second, "the recorded one is kept"
    cancelled = [event["batch"] for event in stage.server.witness().events("cancel")]
    # Without metadata it may be another user's: a person decides.
    assert cancelled == ([first] if stage.provider == "openai" else [])
    assert "stray" in {attention.kind for attention in report(stage.store, stage.clock).attention}
    assert auditor.run_once() == {"checked": 1}, "it was told once"
