"""A campaign that was broken off goes on: what its report holds as passed is not run again, and counts."""

from dataclasses import replace
from pathlib import Path

from tests.chaos.case import Case, Verdict
from tests.chaos.report import Report
from tests.chaos.tally import markdown

PASSED = Verdict(Case("openai", "sqlite"), records=6, kills=2, seconds=1.5, cpu=0.9)
FAILED = replace(PASSED, violations=("I1 lost: 4 records",), lost=4)


def test_what_has_passed_is_known_to_the_next_process(tmp_path: Path) -> None:
    report = Report(tmp_path / "report")
    report.add("pairs", "created,publish", PASSED)
    report.add("pairs", "created,told", FAILED)
    following = Report(tmp_path / "report")
    assert following.has_passed("pairs", "created,publish")
    assert not following.has_passed("pairs", "created,told")
    assert not following.has_passed("cases", "created,publish")


def test_the_newest_verdict_counts_and_the_table_says_that_it_was_not_the_first(tmp_path: Path) -> None:
    Report(tmp_path / "report").add("schedules", "seed=1", FAILED)
    report = Report(tmp_path / "report")
    assert (report.tally("schedules").failed, report.tally("schedules").lost) == (1, 4)
    report.add("schedules", "seed=1", PASSED)
    for each in (report, Report(tmp_path / "report")):
        tally = each.tally("schedules")
        assert (tally.runs, tally.failed, tally.lost, tally.repeated) == (1, 0, 0, 1)
        assert "0 failed, 1 passed only when repeated" in markdown(each.tallies())


def test_a_line_that_was_cut_off_is_run_again_and_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "report"
    report = Report(file)
    report.add("pairs", "a,b", PASSED)
    report.add("pairs", "c,d", PASSED)
    file.write_bytes(file.read_bytes()[:-20])
    following = Report(file)
    assert not following.has_passed("pairs", "c,d")
    following.add("pairs", "c,d", PASSED)
    again = Report(file)
    assert again.has_passed("pairs", "a,b")
    assert again.has_passed("pairs", "c,d")
    assert again.tally("pairs").runs == 2
