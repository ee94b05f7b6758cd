from functools import partial

import pytest

from shared.errors import PositionsPaid
from shared.lifecycle import State
from shared.store import PositionRun, Store
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, plan, planned


def test_a_plan_is_committed_with_its_batches_and_positions(store: Store) -> None:
    made = plan("part-0-0", [planned("k-0"), planned("k-1", records=7)], [(0, 10), (12, 19)], skipped=3)
    assert store.plans.commit(made)

    assert store.plans.is_planned("part-0-0")
    assert (store.plans.attempt("part-0-0"), store.plans.attempt("part-0-1")) == (made.attempt_folder, None)
    rows = store.batches.rows([State.SEALED])
    assert [(row.batch_key, row.records, row.attempt_folder) for row in rows] == [
        ("k-0", 10, made.attempt_folder),
        ("k-1", 7, made.attempt_folder),
    ]
    assert store.positions.paid("pipe", "sentiments", "cluster", "topic", 0) == [(0, 10), (12, 19)]


def test_records_that_gave_several_rows_are_known_by_their_number(store: Store) -> None:
    assert not store.plans.has_arrays("pipe", "sentiments")
    assert store.plans.commit(plan("part-0-0", offsets=[(0, 10)]))
    assert store.plans.commit(plan("part-0-1", offsets=[(20, 22)], skipped=8))
    assert not store.plans.has_arrays("pipe", "sentiments")
    assert store.plans.commit(plan("part-0-2", offsets=[(22, 24)], skipped=7))
    assert store.plans.has_arrays("pipe", "sentiments"), "three rows at two positions"
    assert not store.plans.has_arrays("pipe", "answers")


def test_a_file_without_new_rows_is_planned_too(store: Store) -> None:
    assert store.plans.commit(plan("empty", skipped=10))
    assert store.plans.is_planned("empty")
    assert not store.plans.is_planned("another")


def test_a_second_attempt_at_a_file_changes_nothing(store: Store) -> None:
    first = plan("part-0-0", [planned("k-0")], [(0, 10)])
    assert store.plans.commit(first)
    assert not store.plans.commit(plan("part-0-0", [planned("k-0", records=9), planned("k-1")], [(0, 9), (20, 30)]))
    assert [row.records for row in store.batches.rows()] == [10]
    assert store.positions.all("pipe", "sentiments") == [PositionRun("cluster", "topic", 0, 0, 10)]
    assert [row.attempt_folder for row in store.batches.rows()] == [first.attempt_folder]


def test_committing_the_same_attempt_again_says_that_it_is_the_plan(store: Store) -> None:
    made = plan("part-0-0", [planned("k-0")], [(0, 10)])
    assert [store.plans.commit(made), store.plans.commit(made)] == [True, True]
    assert len(store.batches.rows()) == 1


def test_of_several_planners_of_one_file_one_wins(stores: list[Store]) -> None:
    for round_ in range(10):
        address = f"part-0-{round_}"
        attempts = [
            plan(address, [planned(f"k{round_}-0", records=n)], [(round_ * 10, round_ * 10 + 9)]) for n in range(4)
        ]
        won = at_once([partial(s.plans.commit, a) for s, a in zip(stores, attempts, strict=True)])
        assert won.count(True) == 1
        winner = attempts[won.index(True)]
        batch = stores[0].batches.get(f"k{round_}-0")
        assert batch
        assert (batch.records, batch.attempt_folder) == (winner.batches[0].records, winner.attempt_folder)


def test_of_several_files_with_the_same_offsets_one_pays_for_them(stores: list[Store]) -> None:
    def commit(store: Store, number: int, start: int) -> str:
        made = plan(f"file-{start}-{number}", [planned(f"k{start}-{number}")], [(start + number, start + number + 10)])
        try:
            assert store.plans.commit(made)
        except PositionsPaid:
            return "refused"
        return "paid"

    for start in range(0, 1000, 100):
        outcomes = at_once([partial(commit, s, n, start) for n, s in enumerate(stores)])
        assert sorted(outcomes) == ["paid", "refused", "refused", "refused"]
        assert len(stores[0].positions.paid("pipe", "sentiments", "cluster", "topic", 0, start, start + 100)) == 1
    assert len(stores[0].batches.rows()) == 10


def test_files_with_different_offsets_planned_at_once_are_all_paid_for(stores: list[Store]) -> None:
    for start in range(0, 400, 40):
        plans = [
            plan(f"f{start}-{n}", [planned(f"k{start}-{n}")], [(start + n * 10, start + n * 10 + 10)]) for n in range(4)
        ]
        assert all(at_once([partial(s.plans.commit, p) for s, p in zip(stores, plans, strict=True)]))
    assert stores[0].positions.all("pipe", "sentiments") == [PositionRun("cluster", "topic", 0, 0, 400)]


@pytest.mark.parametrize("fault", [(3, 5), (9, 30)])
def test_a_plan_that_pays_twice_leaves_no_trace(store: Store, fault: tuple[int, int]) -> None:
    store.plans.commit(plan("first", [planned("k-0")], [(0, 10)]))
    late = plan("second", [planned("k-1")], [(40, 50), fault])
    with pytest.raises(PositionsPaid, match="of partition 0 of topic topic are paid for"):
        store.plans.commit(late)
    assert not store.plans.is_planned("second")
    assert store.batches.get("k-1") is None
    assert store.positions.all("pipe", "sentiments") == [PositionRun("cluster", "topic", 0, 0, 10)]


def test_offsets_are_paid_for_by_statement_cluster_topic_and_partition(store: Store) -> None:
    runs = [PositionRun("c1", "t1", 0, 0, 9), PositionRun("c1", "t1", 1, 0, 9), PositionRun("c1", "t2", 0, 0, 9)]
    runs.append(PositionRun("c2", "t1", 0, 0, 9))
    for number, run in enumerate(runs):
        assert store.plans.commit(plan(f"f-{number}", positions=(run,)))
    assert store.plans.commit(plan("g", positions=tuple(runs), statement="other"))
    assert store.plans.commit(plan("h", positions=tuple(runs), pipeline="other"))
    assert store.positions.all("pipe", "sentiments") == sorted(
        runs, key=lambda r: (r.cluster_id, r.topic_id, r.partition)
    )
    assert store.positions.all("other", "sentiments") == store.positions.all("pipe", "sentiments")


def test_times_come_back_as_they_went(store: Store, clock: SetClock) -> None:
    sealed = NOON.replace(microsecond=123456)
    store.plans.commit(plan("part", [planned("k-0", sealed_at=sealed)]))
    batch = store.batches.get("k-0")
    assert batch
    assert (batch.sealed_at, batch.updated_at) == (sealed, clock.now)
    assert batch.sealed_at.utcoffset() == NOON.utcoffset()


def test_the_last_plan_of_a_pipeline_is_known(store: Store) -> None:
    assert store.plans.last("pipe") is None
    store.plans.commit(plan("late", planned_at=NOON + MINUTE))
    store.plans.commit(plan("early"))
    store.plans.commit(plan("another's", pipeline="other", planned_at=NOON + 2 * MINUTE))
    assert store.plans.last("pipe") == NOON + MINUTE
