from dataclasses import replace
from datetime import timedelta

from shared.lifecycle import State
from shared.store import Attempt, Run, Store
from shared.store.budgets import PIPELINE, Limit
from shared.store.lineage import Owner
from shared.store.terms import Stated
from tests.rig.stores import MINUTE, NOON, SetClock, begun, planned, put


def send(store: Store, key: str) -> bool:
    batch = planned(key, estimated_cost_usd=0.25)
    last = Attempt(
        batch_key=key,
        attempt=3,
        account=batch.account,
        started_at=NOON - MINUTE,
        requests=10,
        bytes=1000,
        input_file_id="file-1",
        outcome="accepted",
    )
    past = replace(
        last, attempt=2, started_at=NOON - 9 * MINUTE, input_file_id=None, outcome="absent", resolved_at=last.started_at
    )
    return store.recalls.sent(batch, [past, last])


def test_only_what_has_no_row_is_missing(store: Store) -> None:
    put(store, planned("k-0"))
    assert store.recalls.absent(["a-0", "k-0", "z-0"]) == ["a-0", "z-0"]
    assert store.recalls.absent([]) == []


def test_a_batch_whose_create_may_have_been_accepted_is_looked_up_from_its_first_moment_on(store: Store) -> None:
    assert send(store, "k-0")
    batch = store.batches.get("k-0")
    assert batch is not None
    assert batch.state is State.AMBIGUOUS
    attempt, past = store.attempts.of("k-0")
    assert (attempt.attempt, attempt.outcome, attempt.input_file_id) == (3, None, "file-1")
    assert attempt.started_at == NOON - MINUTE
    assert (past.attempt, past.outcome) == (2, "absent")
    assert store.attempts.given_up(NOON - MINUTE) == [past], "it is audited again"
    reserved = {row["day"]: row["reserved_usd"] for row in store.status.daily() if row["reserved_usd"]}
    assert reserved == {f"{NOON:%Y-%m-%d}": 0.25}


def test_nothing_that_has_a_row_is_touched(store: Store) -> None:
    put(store, planned("k-0"))
    assert not send(store, "k-0")
    assert not store.recalls.planned(planned("k-0", records=3))
    assert not store.recalls.ended(planned("k-0"), State.PUBLISHED, {"succeeded": 10, "failed": 0, "carried": 0})
    batch = store.batches.get("k-0")
    assert batch is not None
    assert (batch.state, batch.records) == (State.SEALED, 10)
    assert store.attempts.of("k-0") == []


def test_a_batch_that_is_out_comes_back_as_it_ended(store: Store, clock: SetClock) -> None:
    clock.advance(timedelta(days=9))
    end = {"succeeded": 9, "failed": 1, "carried": 0, "published_at": NOON, "cost_usd": 0.5}
    assert store.recalls.ended(planned("k-0"), State.PUBLISHED, end)
    batch = store.batches.get("k-0")
    assert batch is not None
    assert (batch.state, batch.succeeded, batch.failed, batch.published_at) == (State.PUBLISHED, 9, 1, NOON)
    spent = {row["day"]: row["spent_usd"] for row in store.status.daily() if row["spent_usd"]}
    assert spent == {f"{NOON:%Y-%m-%d}": 0.5}


def recall_pipeline(store: Store, *known: Run) -> bool:
    limits = [Limit(PIPELINE, None, 5.0)]
    return store.recalls.pipeline(Owner("pipe", "/a.sql", "file:///s", NOON), known, limits, Stated(MINUTE))


def test_a_pipeline_comes_back_with_its_runs_and_what_the_newest_states(store: Store) -> None:
    store.lineage.claim_name("pipe", "/refused.sql")
    runs = [begun(1, "failed"), begun(2, None)]
    assert recall_pipeline(store, *runs)
    assert store.lineage.runs("pipe") == runs[::-1]
    assert (store.lineage.owner("pipe"), store.lineage.is_current("pipe", 2)) == ("/a.sql", True)
    assert store.budgets.stated("pipe") == [Limit(PIPELINE, None, 5.0)]
    assert store.terms.of("pipe") == Stated(MINUTE)
    assert store.lineage.begin("pipe", definition="d", spool="file:///s") == 3


def test_a_pipeline_of_which_a_run_is_known_stays_as_it_is(store: Store) -> None:
    store.lineage.claim_name("pipe", "/b.sql")
    store.lineage.begin("pipe", definition="d", spool="file:///s")
    runs = store.lineage.runs("pipe")
    assert not recall_pipeline(store, begun(1, "failed"), begun(2, None))
    assert (store.lineage.runs("pipe"), store.lineage.owner("pipe")) == (runs, "/b.sql")
    assert (store.budgets.stated("pipe"), store.terms.of("pipe")) == ([], Stated())
