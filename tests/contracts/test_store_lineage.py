from functools import partial

import pytest

from shared.errors import NameTaken, StaleState
from shared.store import Store
from tests.rig.samples import definition
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, plan


def test_a_name_is_the_first_files(store: Store) -> None:
    assert store.lineage.owner("pipe") is None
    store.lineage.claim_name("pipe", "host:/a.sql")
    store.lineage.claim_name("pipe", "host:/a.sql")
    with pytest.raises(NameTaken, match=r"'pipe' is used by host:/a\.sql"):
        store.lineage.claim_name("pipe", "host:/b.sql")
    assert store.lineage.owner("pipe") == "host:/a.sql"
    store.lineage.claim_name("pipe", "host:/b.sql", take_over=True)
    assert store.lineage.owner("pipe") == "host:/b.sql"


def test_of_several_files_that_claim_a_name_at_once_one_gets_it(stores: list[Store]) -> None:
    def claim(store: Store, name: str, file: str) -> bool:
        try:
            store.lineage.claim_name(name, file)
        except NameTaken:
            return False
        return True

    for round_ in range(5):
        calls = [partial(claim, each, f"pipe-{round_}", f"{n}.sql") for n, each in enumerate(stores)]
        assert at_once(calls).count(True) == 1


def test_each_run_has_an_epoch_of_its_own(stores: list[Store]) -> None:
    stores[0].lineage.claim_name("pipe", "a.sql")
    begin = [partial(each.lineage.begin, "pipe", definition="d", spool="file:///s") for each in stores]
    assert sorted(at_once(begin)) == [1, 2, 3, 4]
    assert [stores[0].lineage.is_current("pipe", epoch) for epoch in (3, 4, 5)] == [False, True, False]


def test_a_job_that_begins_again_has_the_run_that_it_began(stores: list[Store]) -> None:
    stores[0].lineage.claim_name("pipe", "a.sql")
    begin = [partial(each.lineage.begin, "pipe", definition="d", spool="file:///s", job_id="abc") for each in stores]
    assert set(at_once(begin)) == {1}
    assert stores[0].lineage.begin("pipe", definition="d", spool="file:///s", job_id="other") == 2
    assert begin[1]() == 1
    assert [run.job_id for run in stores[0].lineage.runs("pipe")] == ["other", "abc"]


def test_a_run_keeps_what_it_started_from_and_how_it_ended(store: Store, clock: SetClock) -> None:
    store.lineage.claim_name("pipe", "a.sql")
    store.lineage.begin("pipe", definition="d1", spool="file:///s", fresh=True, started_from={"t": {"0": 5}})
    store.plans.commit(plan("before", skipped=2))
    clock.advance(MINUTE)
    store.lineage.finish("pipe", 1, "stopped")
    store.lineage.begin("pipe", definition="d2", spool="file:///s", job_id="abc", restored_from="file:///s/chk-7")
    store.plans.commit(plan("during", skipped=3, planned_at=clock.now))
    clock.advance(MINUTE)
    store.lineage.finish("pipe", 1, "a late word")

    second, first = store.lineage.runs("pipe")
    assert (first.epoch, first.fresh, first.started_from, first.skipped) == (1, True, {"t": {"0": 5}}, 2)
    assert (first.outcome, first.started_at, first.ended_at) == ("stopped", NOON, NOON + MINUTE)
    assert (second.job_id, second.restored_from, second.started_from, second.skipped) == (
        "abc",
        "file:///s/chk-7",
        None,
        3,
    )
    assert (second.outcome, second.ended_at, second.definition) == (None, None, "d2")


def test_a_run_needs_a_claimed_name(store: Store) -> None:
    with pytest.raises(StaleState, match="claim its name first"):
        store.lineage.begin("pipe", definition="d", spool="file:///s")
    with pytest.raises(StaleState, match="run 7 of pipeline 'pipe'"):
        store.lineage.finish("pipe", 7, "stopped")


def test_a_definition_is_kept_as_it_was(store: Store) -> None:
    stated = definition()
    assert store.lineage.put_definition(stated) == store.lineage.put_definition(stated) == stated.hash
    assert store.lineage.definition(stated.hash) == stated
    assert store.lineage.definition("0" * 16) is None


def test_the_definitions_that_files_were_planned_by_are_known_in_the_order_of_their_use(store: Store) -> None:
    made = [definition(statement=name) for name in ("first", "second", "unused")]
    for each in made:
        store.lineage.put_definition(each)
    planned_by = [(0, NOON), (1, NOON + MINUTE), (0, NOON + 2 * MINUTE)]
    for number, (which, when) in enumerate(planned_by):
        store.plans.commit(plan(f"file-{number}", definition=made[which].hash, planned_at=when))
    assert store.lineage.used("pipe") == [made[1], made[0]]
    assert store.lineage.used("other") == []


def test_as_many_runs_are_told_as_are_asked_for(store: Store) -> None:
    store.lineage.claim_name("pipe", "a.sql")
    for _ in range(3):
        store.lineage.begin("pipe", definition="d", spool="file:///s")
    assert [run.epoch for run in store.lineage.runs("pipe", 2)] == [3, 2]
