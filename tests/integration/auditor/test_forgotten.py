"""Creates that an older copy of the store has forgotten: late ones are found, and good ones left alone."""

from datetime import timedelta
from pathlib import Path

import pytest

from poller.register.recaller import Recaller
from shared.intents import Receipt, write_receipt
from shared.lifecycle import State
from shared.store import Whose
from tests.rig.auditing import (
    HIDDEN,
    auditor,
    bill,
    cancelled,
    collected,
    creates,
    follow_to_its_end,
    strays,
    submitted,
    told,
    twice,
)
from tests.rig.older import copied, restore
from tests.rig.stage import Stage

DELAY = 3600


def copied_early(stage: Stage) -> Path:
    """A copy of the store that knows the pipeline, and no batch of it but those that are planned."""
    stage.store.lineage.claim_name("pipe", "/pipeline.sql")
    return copied(stage)


def recall(stage: Stage) -> dict[str, int]:
    return dict(Recaller(stage.store, stage.spool, stage.clock, timedelta()).run_once())


def throttled(stage: Stage, seconds: int = 0) -> str:
    """A batch whose first create is refused for a while; its key."""
    stage.server.set_fault("http_429_retry_after", endpoint="*.batches.create", times=1, retry_after=seconds)
    return submitted(stage, stage.plan(), State.HELD)


def test_a_create_that_shows_late_is_found_by_a_store_that_has_forgotten_the_batch(stage: Stage) -> None:
    older = copied_early(stage)
    key = twice(stage)
    first, _ = creates(stage)
    restore(stage, older)
    assert recall(stage) == {"recalled": 1}
    submitted(stage, key)
    assert len(creates(stage)) == 2
    stage.server.advance(HIDDEN)
    auditor(stage).run_once()
    assert [stray.provider_batch_id for stray in strays(stage)] == [first]
    collected(stage, key)
    follow_to_its_end(stage, auditor(stage))
    (stray,) = strays(stage)
    assert (stray.whose, stray.batch_key) == (Whose.OURS, key)
    assert (stray.input_tokens, stray.output_tokens) == bill(stage, first)


@pytest.mark.parametrize("has_receipt", [True, False])
def test_a_good_create_that_names_the_file_of_one_that_was_not_sent_is_no_stray(
    stage: Stage, has_receipt: bool
) -> None:
    older = copied_early(stage)
    key = submitted(stage, throttled(stage))
    (good,) = creates(stage)
    if not has_receipt:
        stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/receipt-2.json").unlink()
    restore(stage, older)
    recall(stage)
    auditor(stage).run_once()
    assert (strays(stage), cancelled(stage), told(stage)) == ([], [], [])
    submitted(stage, key)
    assert (stage.batch(key).provider_batch_id, creates(stage)) == (good, [good])


def test_another_batch_s_create_of_that_time_is_not_cancelled_even_in_a_workspace_of_our_own(anthropic: Stage) -> None:
    before = copied_early(anthropic)
    held = throttled(anthropic, DELAY)
    other = submitted(anthropic, anthropic.plan())
    anthropic.ahead = timedelta(seconds=2 * DELAY)
    submitted(anthropic, held)
    restore(anthropic, before)
    # The other one is not back yet.
    manifest = anthropic.path(anthropic.spool.batch("pipe", "sentiments", other)) / "manifest.json"
    away = manifest.rename(manifest.with_suffix(".away"))
    recall(anthropic)
    auditor(anthropic, "ANTHROPIC_API_KEY").run_once()
    assert cancelled(anthropic) == []
    away.rename(manifest)
    recall(anthropic)
    submitted(anthropic, other)
    submitted(anthropic, held)
    assert len(creates(anthropic)) == 2


def test_what_a_receipt_names_under_a_former_number_is_still_found_for_the_last_one(stage: Stage) -> None:
    """The process that made it woke, and wrote its receipt, after it was given up; the next create was never made."""
    older = copied_early(stage)
    stage.server.set_fault("create_accepted_response_lost", times=1)
    stage.server.set_fault("list_lag", times=1, seconds=HIDDEN)
    key = submitted(stage, stage.plan(), State.HELD)
    (first,) = creates(stage)
    stage.server.set_fault("http_5xx", endpoint="*.batches.create", times=1)
    submitted(stage, key, State.AMBIGUOUS)
    folder = stage.spool.batch("pipe", "sentiments", key)
    write_receipt(stage.spool, folder, Receipt(attempt=1, provider_batch_id=first, created_at=stage.clock()))
    restore(stage, older)
    stage.server.advance(HIDDEN)
    recall(stage)
    submitted(stage, key)
    assert (stage.batch(key).provider_batch_id, creates(stage)) == (first, [first])


@pytest.mark.parametrize("is_known", [True, False], ids=["planned", "forgotten"])
def test_a_damaged_file_of_a_former_create_keeps_no_batch(stage: Stage, is_known: bool) -> None:
    key = stage.plan() if is_known else ""
    older = copied_early(stage)
    stage.server.set_fault("http_429_retry_after", endpoint="*.batches.create", times=1, retry_after=0)
    key = submitted(stage, key or stage.plan())
    stage.path(f"{stage.spool.batch('pipe', 'sentiments', key)}/intent-1.json").write_text("{")
    restore(stage, older)
    recall(stage)
    submitted(stage, key)
    assert len(creates(stage)) == 1
