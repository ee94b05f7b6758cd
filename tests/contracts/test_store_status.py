from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from shared.lifecycle import Event, State
from shared.store import Store
from tests.rig.stores import NOON, plan, planned, put, walk

COLLECTED = (Event.INTEND, Event.ACCEPT, Event.END)
ODD = (
    "duplicate_lines",
    "unknown_lines",
    "malformed_lines",
    "duplicate_entries",
    "unknown_entries",
    "forgiven_answers",
    "unreadable_answers",
    "unknown_calls",
)


def test_every_record_is_counted_once_across_children(store: Store) -> None:
    put(store, planned("k-0"), planned("k-1"), planned("k-2"))
    walk(store, "k-0", *COLLECTED)
    child = planned("k-0a", records=4, generation=1, parent="k-0")
    store.batches.collect("k-0", children=[child], carried=4, cost_usd=0.1, input_tokens=100, output_tokens=20)
    store.batches.record("k-0", sync_cost_usd=0.2)
    store.batches.apply("k-0", Event.PUBLISH, succeeded=5, failed=1)
    store.batches.tally("k-1", succeeded=3, failed=0)
    store.batches.apply("k-2", Event.HOLD, held_reason="no credit")

    (row,) = store.status.pipelines()
    assert (row["records"], row["in_flight"], row["succeeded"], row["failed"], row["carried"]) == (30, 21, 8, 1, 4)
    assert row["records"] == row["in_flight"] + row["succeeded"] + row["failed"]
    assert (row["batches"], row["batches_published"], row["batches_held"], row["batches_sealed"]) == (4, 1, 1, 2)
    assert sum(row[f"batches_{state}"] for state in State) == row["batches"]
    assert (row["cost_usd"], row["sync_cost_usd"], round(row["saved_usd"], 9)) == (0.1, 0.2, 0.1)
    assert (row["input_tokens"], row["output_tokens"]) == (100, 20)
    assert (row["oldest_waiting_at"], row["last_published_at"]) == (NOON, NOON)


def test_the_oldest_that_waits_is_told_with_its_age(store: Store) -> None:
    sealed = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    put(store, planned("k-0", sealed_at=sealed), planned("k-1", sealed_at=sealed - timedelta(hours=1)))
    walk(store, "k-1", Event.NOTHING_TO_SEND)
    store.batches.apply("k-1", Event.PUBLISH, failed=10)
    (row,) = store.status.pipelines()
    assert row["oldest_waiting_at"] == sealed
    assert 7200 <= row["oldest_waiting_seconds"] < 7500
    ages = {batch["batch_key"]: batch["waiting_seconds"] for batch in store.status.batches(finished=True)}
    assert 7200 <= ages["k-0"] < 7500
    assert ages["k-1"] is None


def test_a_pipeline_is_shown_before_its_first_batch_and_without_a_run(store: Store) -> None:
    store.lineage.claim_name("new", "a.sql")
    store.lineage.begin("new", definition="d", spool="file:///s")
    store.lineage.begin("new", definition="d", spool="file:///s")
    store.lineage.finish("new", 2, "stopped")
    store.plans.commit(plan("part", skipped=7, pipeline="new"))
    put(store, planned("k-0"))
    new, pipe = store.status.pipelines()
    assert (new["pipeline"], new["run"], new["run_outcome"], new["records"]) == ("new", 2, "stopped", 0)
    assert (new["skipped_as_paid"], new["oldest_waiting_at"]) == (7, None)
    assert (pipe["pipeline"], pipe["run"], pipe["records"]) == ("pipe", None, 10)


def test_the_batches_that_are_not_finished_are_shown_oldest_first(store: Store) -> None:
    put(store, *(planned(f"k-{n}", sealed_at=NOON + timedelta(minutes=n)) for n in range(3)))
    walk(store, "k-1", Event.NOTHING_TO_SEND)
    store.batches.apply("k-1", Event.PUBLISH, failed=10)
    assert [row["batch_key"] for row in store.status.batches()] == ["k-0", "k-2"]
    assert [row["batch_key"] for row in store.status.batches(finished=True, limit=2)] == ["k-2", "k-1"]
    row = store.status.batches()[0]
    assert (row["in_flight"], row["state"], row["sealed_at"]) == (10, "sealed", NOON)


def test_days_are_those_of_utc(store: Store) -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    put(store, planned("k-0", sealed_at=late), planned("k-1", sealed_at=late + timedelta(hours=1)))
    put(store, planned("k-2", sealed_at=datetime.fromisoformat("2026-03-02T03:00:00+05:00")))
    rows = store.status.daily()
    assert [(row["day"], row["batches"], row["records"]) for row in rows] == [
        ("2026-03-02", 1, 10),
        ("2026-03-01", 2, 20),
    ]
    assert [row["day"] for row in store.status.daily(days=1)] == ["2026-03-02"]


def test_a_dashboard_can_read_a_time(store: Store) -> None:
    put(store, planned(sealed_at=NOON.replace(microsecond=5000)))
    with store.batches._database.read() as connection:
        value = connection.execute(text("SELECT sealed_at FROM batches")).scalar_one()
        if connection.dialect.name == "sqlite":
            assert value == "2026-03-01T12:00:00.005000Z"
            seconds = connection.execute(
                text("SELECT CAST(strftime('%s', sealed_at) AS INTEGER) FROM batches")
            ).scalar_one()
            assert seconds == int(NOON.timestamp())
        else:
            assert value == NOON.replace(microsecond=5000)


def test_odd_results_are_told(store: Store) -> None:
    put(store, planned("k-0"), planned("k-1"), planned("k-2"))
    for key in ("k-0", "k-1"):
        walk(store, key, *COLLECTED)
        store.batches.collect(key, duplicate_lines=1 if key == "k-0" else 0)
        store.batches.apply(key, Event.PUBLISH, succeeded=10)
    assert [batch.batch_key for batch in store.status.odd(NOON)] == ["k-0"]
    assert store.status.odd(NOON + timedelta(minutes=1)) == []


def test_what_nobody_expected_is_counted_by_batch_and_by_pipeline(store: Store) -> None:
    store.lineage.claim_name("idle", "a.sql")
    put(store, planned("k-0"), planned("k-1"))
    counts: dict[str, Any] = dict(zip(ODD, range(1, 9), strict=True))
    store.batches.record("k-0", **counts)
    store.batches.record("k-1", forgiven_answers=10)
    first, second = store.status.batches()
    assert {name: first[name] for name in ODD} == counts
    assert {name: second[name] for name in ODD} == dict.fromkeys(ODD, 0) | {"forgiven_answers": 10}
    idle, pipe = store.status.pipelines()
    assert {name: idle[name] for name in ODD} == dict.fromkeys(ODD, 0)
    assert {name: pipe[name] for name in ODD} == counts | {"forgiven_answers": 16}
