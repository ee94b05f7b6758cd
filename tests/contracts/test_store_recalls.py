from datetime import timedelta

from shared.lifecycle import State
from shared.store import Store
from tests.rig.stores import MINUTE, NOON, SetClock, planned, put


def send(store: Store, key: str) -> bool:
    batch = planned(key, estimated_cost_usd=0.25)
    return store.recalls.sent(
        batch, attempt=3, started_at=NOON - MINUTE, requests=10, bytes=1000, input_file_id="file-1"
    )


def test_only_what_has_no_row_is_missing(store: Store) -> None:
    put(store, planned("k-0"))
    assert store.recalls.absent(["a-0", "k-0", "z-0"]) == ["a-0", "z-0"]
    assert store.recalls.absent([]) == []


def test_a_batch_whose_create_may_have_been_accepted_is_looked_up_from_its_first_moment_on(store: Store) -> None:
    assert send(store, "k-0")
    batch = store.batches.get("k-0")
    assert batch is not None
    assert batch.state is State.AMBIGUOUS
    (attempt,) = store.attempts.of("k-0")
    assert (attempt.attempt, attempt.outcome, attempt.input_file_id) == (3, None, "file-1")
    assert attempt.started_at == NOON - MINUTE
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


def test_the_pipelines_of_a_store_are_known(store: Store) -> None:
    store.lineage.claim_name("pipe", "a.sql")
    assert store.recalls.pipelines() == {"pipe"}
