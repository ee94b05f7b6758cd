"""Rows 2, 3, 5, 18, 19 and 23: from the seal to the provider's first words. Row 1 stands in test_submission.py."""

from datetime import timedelta
from typing import Any

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.alarms import Kind
from shared.lifecycle import State
from tests.faults.road import HOUR, RECORDS, MakeRoad, Road
from tests.rig.waiting import wait_until

PATIENCE = timedelta(seconds=30)
"""How long results may still show after a batch's end."""


def test_row_02_a_batch_that_exists_is_answered_with_404(
    make_road: MakeRoad, own_server: ProviderServer, provider: str
) -> None:
    """Transient: said, asked again, and never taken for gone before its deadline."""
    road = make_road(own_server, provider)
    road.fault("retrieve_404_after_create", seconds=HOUR.total_seconds())
    key = road.stage.submit(RECORDS)
    watcher = road.stage.watcher()
    watcher.run_once()
    batch = road.stage.batch(key)
    assert (batch.state, [alarm.kind for alarm in road.status().attention]) == (State.SUBMITTED, [Kind.MISSING])
    road.server.advance(HOUR.total_seconds())
    road.check(road.back.finish(key))
    assert road.status().healthy


def test_row_02_results_are_answered_with_404_after_the_end(
    make_road: MakeRoad, server: ProviderServer, provider: str
) -> None:
    road = make_road(server, provider, patience=PATIENCE)
    road.fault("results_404_after_end", seconds=1.0)
    road.check(road.bring())


def test_row_03_the_input_file_is_not_found_just_after_its_upload(openai: Road) -> None:
    """It is uploaded again: the file that was not found is named by no later create."""
    openai.fault("input_file_not_found_after_upload", seconds=HOUR.total_seconds())
    key = openai.stage.plan(RECORDS)
    openai.stage.submission().work(key)
    held = openai.stage.batch(key)
    assert (held.state, held.held_reason is not None) == (State.HELD, True)
    openai.stage.ahead = HOUR
    openai.check(openai.back.finish(key))
    uploads = [attempt.input_file_id for attempt in openai.stage.store.attempts.of(key)]
    assert len(set(uploads)) == len(uploads) == 2


def test_row_03_the_provider_loses_the_input_file_before_it_validates(openai: Road) -> None:
    openai.fault("bad_line_fails_batch", code="file_not_found", named=False)
    key = openai.stage.submit(RECORDS)
    held = openai.stage.watch_until(key, State.HELD)
    assert "lost its input file" in (held.held_reason or "")
    openai.stage.ahead = HOUR
    openai.check(openai.back.finish(key))


@pytest.mark.parametrize("listed", [True, False])
def test_row_03_the_output_file_is_not_there_just_after_completed(
    make_road: MakeRoad, server: ProviderServer, listed: bool
) -> None:
    road = make_road(server, "openai", patience=PATIENCE)
    road.fault("output_file_delayed", seconds=1.0, listed=listed)
    road.check(road.bring())


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"numbers": [3]}, "invalid-line"),
        ({"contains": "review 4 ", "named": False}, "rejected"),
    ],
    ids=["named", "unnamed"],
)
def test_row_05_one_bad_line_fails_the_whole_batch(openai: Road, options: dict[str, Any], cause: str) -> None:
    """The line comes out with its cause, alone: the rest is sent again without a retry, halved where none is named."""
    openai.fault("bad_line_fails_batch", times=1 if "numbers" in options else None, **options)
    openai.check(openai.bring(), causes={cause: 1}, unpaid=1)


def test_row_05_what_is_wrong_with_every_line_fails_the_batch(openai: Road) -> None:
    openai.fault("bad_line_fails_batch", numbers=[1], code="model_not_found")
    (batch,) = openai.bring()
    assert batch.state is State.FAILED
    openai.check([batch], causes={"rejected": RECORDS}, unpaid=RECORDS)


def test_row_05_a_create_that_is_refused_as_a_whole_is_halved(road: Road) -> None:
    """No line is named, and some may be good: each half is sent by itself, without a retry."""
    road.fault("http_5xx", endpoint="*.batches.create", status=400)
    family = road.bring()
    assert [(batch.records, batch.carried, batch.retries) for batch in family] == [
        (RECORDS, RECORDS, 0),
        (RECORDS // 2, 0, 0),
        (RECORDS // 2, 0, 0),
    ]
    road.check(family)


def test_row_19_records_that_make_no_request(make_road: MakeRoad, server: ProviderServer, provider: str) -> None:
    """Too large, empty, null: each comes out with its cause; the rest goes on, and a batch of nothing else too."""
    road = make_road(server, provider, batch_options={"max_bytes": 5_000})
    texts: dict[int, str | None] = {0: None, 1: "", 2: "x" * 6_000}
    road.stage.review = lambda number: texts.get(number, road.text(number))
    family = road.bring()
    road.check(family, causes={"null-input": 1, "empty-input": 1, "too-large": 1}, unpaid=3)
    nothing = make_road(server, provider)
    nothing.stage.review = lambda number: None if number else ""
    (batch,) = nothing.bring()
    assert (batch.state, batch.requests, batch.provider_batch_id) == (State.PUBLISHED, 0, None)
    nothing.check([batch], causes={"null-input": RECORDS - 1, "empty-input": 1}, unpaid=RECORDS)


def test_row_18_files_do_not_pile_up_at_the_provider(openai: Road) -> None:
    """An upload asks for its own end, should nobody come to delete it."""
    key = openai.stage.submit(RECORDS)
    (attempt,) = openai.stage.store.attempts.of(key)
    client = openai.stage.models().provider_of(openai.stage.batch(key))._session.client  # type: ignore[attr-defined]  # the SDK behind the port
    uploaded = client.files.retrieve(attempt.input_file_id)
    assert uploaded.expires_at is not None
    assert uploaded.expires_at - uploaded.created_at == timedelta(days=30).total_seconds()
    wait_until(lambda: openai.back.finish(key), 60, "the batch to be out")


def test_row_23_rows_that_come_again_are_not_sent_again(road: Road) -> None:
    """A job that starts without its state reads old rows again: they are paid for, and told as skipped."""
    stage = road.stage
    (first,) = stage.plan_rows(range(8))
    family = road.back.finish(first)
    (second,) = stage.plan_rows(range(4, 12))
    assert (stage.batch(second).records, stage.batch(first).records) == (4, 8)
    family += road.back.finish(second)
    assert stage.plan_rows(range(12)) == []
    road.check(family, records=12)
    assert road.status().pipelines[0]["skipped_as_paid"] == 4 + 12
