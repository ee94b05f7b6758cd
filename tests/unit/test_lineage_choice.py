"""Which Flink state a start continues from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.store import Run
from submitter.lineage.lineage import (
    Checkpoint,
    Sealed,
    choose,
    choose_named,
    first_starts,
    newest,
    prefix_end,
    read_from,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run(epoch: int, *, restored_from: str | None = None, definition: str = "d", started_from: object = None) -> Run:
    assert started_from is None or isinstance(started_from, dict)
    return Run(
        pipeline="p",
        epoch=epoch,
        job_id=f"job{epoch}",
        definition=definition,
        started_at=NOON + timedelta(hours=epoch),
        ended_at=None,
        outcome=None,
        restored_from=restored_from,
        started_from=started_from,
        fresh=False,
        skipped=0,
    )


def checkpoint(job: int, number: int, minute: int = 0) -> Checkpoint:
    return Checkpoint(f"file:///c/job{job}/chk-{number}", number, NOON + timedelta(minutes=minute))


def test_the_newest_run_s_highest_number_wins_whatever_the_dates_say() -> None:
    found = {"job1": [checkpoint(1, 90, minute=59)], "job2": [checkpoint(2, 3, minute=9), checkpoint(2, 4, minute=1)]}
    assert newest([run(1), run(2)], found) == checkpoint(2, 4, minute=1)


def test_a_run_killed_before_its_first_checkpoint_leaves_the_one_it_was_restored_from() -> None:
    earlier = checkpoint(1, 7)
    found = {"job1": [earlier, checkpoint(1, 8)], "job2": [], "job3": []}
    runs = [run(3, restored_from=earlier.address), run(2, restored_from=earlier.address), run(1)]
    assert newest(runs, found) == earlier


def test_a_run_that_started_without_state_breaks_the_chain() -> None:
    found = {"job1": [checkpoint(1, 7)], "job2": []}
    assert newest([run(1), run(2)], found) is None


def test_a_chain_whose_state_is_gone_is_broken_too() -> None:
    gone = checkpoint(1, 7)
    assert newest([run(1), run(2, restored_from=gone.address)], {"job1": [checkpoint(1, 6)], "job2": []}) is None


def test_the_first_run_starts_without_state() -> None:
    road = choose([], {}, "d", Sealed(), fresh=False)
    assert road.first
    assert road.restore is None


def test_the_same_definition_continues() -> None:
    road = choose([run(1)], {"job1": [checkpoint(1, 1, minute=5)]}, "d", Sealed(NOON), fresh=False)
    assert (road.restore, road.is_own) == (checkpoint(1, 1).address, True)


def test_fresh_a_changed_definition_and_a_later_seal_each_lead_to_positions() -> None:
    found = {"job1": [checkpoint(1, 1, minute=5)]}
    after = Sealed(NOON + timedelta(minutes=6))
    roads = [
        choose([run(1)], found, "d", Sealed(NOON), fresh=True),
        choose([run(1)], found, "other", Sealed(NOON), fresh=False),
        choose([run(1)], found, "d", after, fresh=False),
    ]
    assert [(road.restore, road.first) for road in roads] == [(None, False)] * 3
    assert len({road.reason for road in roads}) == 3


SAVEPOINT = "/savepoints/savepoint-0123ab-77"


def savepoint(minute: int) -> Checkpoint:
    return Checkpoint(SAVEPOINT, 0, NOON + timedelta(minutes=minute))


def test_a_run_that_was_killed_soon_leaves_the_savepoint_that_the_user_gave_it_and_flink_must_not_delete_it() -> None:
    found = {"job1": [checkpoint(1, 7)], "job2": [], SAVEPOINT: [savepoint(3)]}
    road = choose([run(2, restored_from=SAVEPOINT), run(1)], found, "d", Sealed(NOON), fresh=False)
    assert (road.restore, road.is_own) == (SAVEPOINT, False)


def test_a_named_state_is_restored_unless_a_file_was_finished_after_it() -> None:
    found = {"job1": [checkpoint(1, 7, minute=5)]}
    runs = [run(1)]
    planned = NOON + timedelta(minutes=4)
    assert choose_named(SAVEPOINT, savepoint(6), runs, found, "d", Sealed(NOON, planned)).restore == SAVEPOINT
    # Its last rows were written before the savepoint, and a checkpoint after it has finished the file.
    assert choose_named(SAVEPOINT, savepoint(3), runs, found, "d", Sealed(NOON, planned)).restore is None
    assert choose_named(SAVEPOINT, savepoint(3), runs, found, "d", Sealed(NOON, NOON)).restore == SAVEPOINT
    assert choose_named(SAVEPOINT, savepoint(3), runs, {}, "d", Sealed(planned)).restore is None


def test_a_file_that_is_planned_after_the_newest_checkpoint_was_finished_by_it() -> None:
    planned = Sealed(NOON, NOON + timedelta(minutes=6))
    road = choose([run(1)], {"job1": [checkpoint(1, 7, minute=5)]}, "d", planned, fresh=False)
    assert road.restore == checkpoint(1, 7).address


def test_a_state_of_another_definition_is_not_restored_whoever_names_it() -> None:
    runs = [run(2), replace(run(1, definition="old"), job_id="0123ab00")]
    for named in (SAVEPOINT, "/elsewhere/0123ab00/chk-4"):
        assert choose_named(named, savepoint(9), runs, {}, "d", Sealed()).restore is None
        assert choose_named(named, savepoint(9), runs, {}, "old", Sealed()).restore == SAVEPOINT
    assert choose_named("/what/ever", savepoint(9), runs, {}, "d", Sealed()).restore == SAVEPOINT
    assert choose_named("/what/ever", savepoint(9), runs, {}, "old", Sealed()).restore is None


def test_a_named_state_that_can_not_be_seen_from_here_is_flink_s_to_judge() -> None:
    assert choose_named("s3://b/s", None, [], {}, "d", Sealed(NOON)).restore == "s3://b/s"


def test_a_run_that_came_to_the_end_of_a_bounded_input_is_followed_by_one_that_reads_on() -> None:
    """Restored, its sources would never see what was added since."""
    found = {"job1": [checkpoint(1, 7, minute=5)]}
    finished = replace(run(1), outcome="finished")
    roads = [
        choose([finished], found, "d", Sealed(NOON), fresh=False, reads_on=True),
        choose([finished], found, "d", Sealed(NOON), fresh=False, reads_on=False),
        choose([run(1)], found, "d", Sealed(NOON), fresh=False, reads_on=True),
    ]
    assert [road.restore is None for road in roads] == [True, False, False]


def test_the_first_start_of_a_partition_is_remembered_over_later_ones() -> None:
    runs = [
        run(3, started_from={"s": {"t": {"0": 500, "2": 7}}}),
        run(2, restored_from="x"),
        run(1, started_from={"s": {"t": {"0": 100, "1": 40}}}),
    ]
    assert first_starts(runs) == {("s", "t"): {0: 100, 1: 40, 2: 7}}


def test_the_prefix_ends_at_the_first_gap() -> None:
    assert prefix_end(10, [(10, 20), (20, 25), (26, 90)]) == 25


def test_a_ledger_that_begins_later_than_the_first_start_is_read_from_the_start() -> None:
    # Rows 10 to 14 stood in a file that was never finished.
    assert prefix_end(10, [(15, 90)]) == 10


def test_an_empty_ledger_leaves_the_start() -> None:
    assert prefix_end(10, []) == 10


def test_where_no_run_recorded_its_start_the_ledger_says_where_reading_began() -> None:
    """With 'latest-offset' the startup mode would begin beyond the rows of unfinished files, and lose them."""
    latest, paid = 90, [(10, 20), (20, 25), (30, 40)]
    assert read_from(latest, paid, is_recorded=False) == 25
    assert read_from(0, paid, is_recorded=False) == 25
    assert read_from(latest, [], is_recorded=False) == latest
    assert read_from(0, paid, is_recorded=True) == 0
    assert read_from(10, paid, is_recorded=True) == 25
