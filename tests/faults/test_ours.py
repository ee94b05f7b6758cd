"""Rows 24 to 27, which stand in deploy/README.md: faults that others have met."""

from datetime import timedelta

import pytest

from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import State
from shared.messages import Header
from tests.faults.road import HOUR, RECORDS, MakeRoad, Road
from tests.rig.waiting import wait_until


@pytest.mark.parametrize("how", ["repeats", "empty"])
def test_row_24_a_list_that_does_not_page_proves_no_absence(
    make_road: MakeRoad, own_server: ProviderServer, provider: str, how: str
) -> None:
    """A create whose answer was lost is not in such a list: it is not made again, however long that lasts."""
    road = make_road(own_server, provider)
    road.fault("create_accepted_response_lost")
    road.fault("list_does_not_page", times=None, how=how)
    road.fault("list_lag", seconds=HOUR.total_seconds())
    key = road.stage.plan(RECORDS)
    submission = road.stage.submission()
    submission.work(key)
    for _ in range(3):
        road.stage.ahead += HOUR
        submission.work(key)
        batch = road.stage.batch(key)
        assert batch.state is State.AMBIGUOUS
        assert "can't be walked" in (batch.error or "")
    own_server.clear_faults()
    own_server.advance(road.stage.ahead.total_seconds())
    road.check(road.back.finish(key))
    assert len(own_server.witness().creates(provider)) == 1


def test_row_24_a_list_that_begins_with_the_oldest_proves_no_absence(
    make_road: MakeRoad, own_server: ProviderServer
) -> None:
    """What is looked for stands behind batches that are older than it: it is not made again."""
    road = make_road(own_server, "openai")
    road.bring()
    own_server.advance(HOUR.total_seconds())
    road.stage.ahead = HOUR
    road.fault("create_accepted_response_lost")
    road.fault("list_oldest_first", times=None)
    key = road.stage.plan(RECORDS)
    submission = road.stage.submission()
    submission.work(key)
    for _ in range(3):
        road.stage.ahead += HOUR
        submission.work(key)
        batch = road.stage.batch(key)
        assert batch.state is State.AMBIGUOUS
        assert "can't be walked" in (batch.error or "")
    own_server.clear_faults()
    own_server.advance((road.stage.ahead - HOUR).total_seconds())
    (batch,) = road.back.finish(key)
    assert batch.succeeded == RECORDS
    assert set(road.billed(2 * RECORDS).values()) == {1}
    assert len(own_server.witness().creates("openai")) == 2


def test_row_25_a_known_batch_is_answered_with_404_now_and_then(
    make_road: MakeRoad, own_server: ProviderServer, provider: str
) -> None:
    """Also its results, after its end: asked again, and nothing is paid for again."""
    road = make_road(own_server, provider, patience=timedelta(seconds=30))
    road.fault("stuck_in_progress", seconds=HOUR.total_seconds())
    key = road.stage.submit(RECORDS)
    road.stage.watch_until(key, State.RUNNING)
    road.fault("known_batch_404", nth=[1, 3, 5, 7], times=None)
    watcher = road.stage.watcher()

    def has_flapped() -> bool:
        watcher.run_once()
        struck = [rule["struck"] for rule in own_server.faults() if rule["fault"] == "known_batch_404"]
        return struck[0] >= 2 if struck else False

    wait_until(has_flapped, 30, "some 404s")
    assert road.stage.batch(key).state is State.RUNNING
    own_server.advance(HOUR.total_seconds())
    road.check(road.back.finish(key))


def test_row_26_a_fragment_comes_before_the_whole_answer(make_road: MakeRoad, server: ProviderServer) -> None:
    """The whole one counts, where the answer is structured: no record fails for what came before it."""
    road = make_road(server, "openai", model={"task": "responses", "path": "/v1/responses"})
    road.fault("answer_after_fragment", lines=3)
    road.check(road.bring())
    assert all(record.json()["label"] is not None for record in road.outputs())
    assert {record.headers[Header.STATUS] for record in road.outputs()} == {b"succeeded"}


def test_row_27_a_file_that_is_there_is_denied_without_a_code(openai: Road) -> None:
    """No fault of the batch: it is uploaded again, and no record is rejected."""
    openai.fault("input_file_denied")
    key = openai.stage.plan(RECORDS)
    openai.stage.submission().work(key)
    assert openai.stage.batch(key).state is State.HELD
    openai.stage.ahead = HOUR
    openai.check(openai.back.finish(key))
    assert len({attempt.input_file_id for attempt in openai.stage.store.attempts.of(key)}) == 2
