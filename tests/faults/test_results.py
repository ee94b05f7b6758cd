"""Rows 6 to 9, 13, 14, 17 and 20: what may be wrong with results. Every record comes out once, and is paid once."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.alarms import Kind
from shared.lifecycle import State
from shared.messages import Header
from tests.faults.road import DAY, HOUR, RECORDS, MakeRoad, Road
from tests.rig.waiting import wait_until

HALF = RECORDS // 2


@dataclass(frozen=True)
class Case:
    """A fault of the first batch, and what has to come of it."""

    fault: str
    options: dict[str, Any] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    unpaid: int = 0
    paid_twice: int = 0
    retries: int = 0

    def __str__(self) -> str:
        return "-".join([self.fault, *(f"{name}={value}" for name, value in self.options.items())])

    def strike(self, road: Road) -> None:
        """Send a batch through the fault, and look at all that came of it."""
        road.fault(self.fault, **self.options)
        family = road.bring()
        road.check(family, causes=self.causes, unpaid=self.unpaid, paid_twice=self.paid_twice, retries=self.retries)


def cases(*made: Case) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", made, ids=str)


REJECTED = {"status": 400, "type": "invalid_request_error"}
NOTHING_RAN = Case("completed_without_output_file", {"error_file": "empty"}, retries=1)
ALL_FAILED = Case("completed_without_output_file", {"error_file": "all_failed"}, retries=1)


@cases(NOTHING_RAN, ALL_FAILED, Case("error_file_id_empty"))
def test_row_06_completed_without_an_output_file(openai: Road, case: Case) -> None:
    """What is there is read; an empty id is no file; what has no result is carried."""
    case.strike(openai)


@cases(
    Case("line_errored", {"lines": 2}, retries=1),
    Case("line_errored", {"lines": 2, **REJECTED}, {"rejected": 2}, unpaid=2),
    Case("request_counts_wrong"),
)
def test_row_07_each_line_is_judged_by_itself(road: Road, case: Case) -> None:
    """An error that may pass is sent again; one of the request comes out; counts are never trusted."""
    case.strike(road)


@cases(
    Case("error_in_body", {"lines": 1}, {"rejected": 1}, unpaid=1),
    Case("error_in_body", {"lines": 1, "file": "error"}, {"rejected": 1}, unpaid=1),
    Case("status_code_zero", {"lines": 1}, retries=1),
    Case("status_code_zero", {"lines": 1, "file": "output"}, retries=1),
)
def test_row_07_errors_stand_where_nobody_expects_them(openai: Road, case: Case) -> None:
    case.strike(openai)


@cases(
    Case("lines_missing", {"lines": 3}, retries=1),
    Case("lines_duplicated", {"lines": 2}),
    Case("lines_unknown", {"lines": 2}),
    Case("line_malformed", {"lines": 1}, {"malformed": 1}),
)
def test_row_08_lines_missing_twice_unknown_or_malformed(road: Road, case: Case) -> None:
    """Missing is carried, the first of two wins, a stranger's counts for nothing, the unreadable fails alone."""
    case.strike(road)


def test_row_08_missing_lines_of_a_provider_whose_clock_runs_ahead(
    make_road: MakeRoad, own_server: ProviderServer, provider: str
) -> None:
    """What is missing is waited for by our own clock: the batch's end does not lie in the future."""
    own_server.advance(2 * HOUR.total_seconds())
    road = make_road(own_server, provider)
    road.fault("lines_missing", lines=3)
    road.check(road.bring(), retries=1)


@pytest.mark.parametrize(("fault", "lines"), [("lines_duplicated", 2), ("lines_unknown", 1), ("line_malformed", 1)])
def test_row_08_odd_lines_are_an_alarm(road: Road, fault: str, lines: int) -> None:
    road.fault(fault, lines=lines)
    key = road.bring()[0].batch_key
    (alarm,) = road.status().attention
    assert (alarm.kind, alarm.subject) == (Kind.UNEXPECTED_RESULTS, key)
    word = {"lines_duplicated": "duplicate", "lines_unknown": "unknown", "line_malformed": "malformed"}[fault]
    assert f"{lines} {word}" in alarm.message


@cases(
    Case("expire_partially", {"done": 0.5}, retries=1),
    Case("cancel_by_provider", {"done": 0.5}, retries=1),
)
def test_row_09_a_part_is_finished(road: Road, case: Case) -> None:
    """The finished part is published, and only the rest is carried."""
    road.fault(case.fault, **case.options)
    parent, child = road.bring()
    assert (parent.succeeded, parent.carried, child.succeeded) == (HALF, HALF, HALF)
    road.check([parent, child], retries=1)


def test_row_09_somebody_cancels_it_at_the_provider(road: Road) -> None:
    road.fault("stuck_in_progress", seconds=3600)
    road.fault("cancel_partially", done=0.5)
    key = road.stage.submit(RECORDS)
    remote = road.stage.batch(key).provider_batch_id or ""
    provider = road.stage.models().provider_of(road.stage.batch(key))
    wait_until(lambda: provider.retrieve(remote).status == "in_progress", 30, "the provider to work on it")
    provider.cancel(remote)
    parent, child = road.back.finish(key)
    assert (parent.succeeded, child.succeeded) == (HALF, HALF)
    road.check([parent, child], retries=1)


@cases(
    Case("download_cut", {"times": 2}),
    Case("download_cut", {"times": 2, "at": "line_end"}),
)
def test_row_13_a_download_that_is_cut(road: Road, case: Case) -> None:
    """Within a line or at its end: it is resumed or begun again, and nothing is paid again."""
    case.strike(road)


@pytest.mark.parametrize("at", ["inside_line", "line_end"])
def test_row_13_a_download_that_is_cut_in_silence(
    make_road: MakeRoad, server: ProviderServer, provider: str, at: str
) -> None:
    road = make_road(server, provider, patience=timedelta(seconds=30))
    road.fault("download_cut", silent=True, at=at)
    road.check(road.bring())


@cases(Case("unicode_separators", {"lines": RECORDS}))
def test_row_14_separators_inside_json_end_no_line(road: Road, case: Case) -> None:
    case.strike(road)


def test_row_17_results_are_near_their_deletion_and_then_gone(
    make_road: MakeRoad, own_server: ProviderServer, provider: str
) -> None:
    """Said well before; once they are deleted the requests are sent, and paid for, again: nothing is lost."""
    road = make_road(own_server, provider)
    key = road.stage.submit(RECORDS)
    ended = road.stage.watch_until(key, State.ENDED)
    assert ended.results_expire_at is not None
    assert Kind.RESULTS_EXPIRING not in {alarm.kind for alarm in road.status().attention}
    road.stage.ahead = ended.results_expire_at - road.stage.clock() - 4 * DAY
    alarm = next(alarm for alarm in road.status().attention if alarm.kind == Kind.RESULTS_EXPIRING)
    assert alarm.subject == key
    road.fault("results_deleted", times=None)
    assert road.back.collector().run_once() == {"waiting": 1}, "before their time a 404 proves nothing"
    road.stage.ahead += 5 * DAY
    own_server.clear_faults()
    own_server.advance(road.stage.ahead.total_seconds())
    family = road.back.finish(key)
    assert [(batch.carried, batch.succeeded) for batch in family] == [(RECORDS, 0), (0, RECORDS)]
    road.check(family, paid_twice=RECORDS, retries=1)


@cases(
    Case("refusal", {"lines": 2}, {"refusal": 2}),
    Case("cut_at_max_tokens", {"lines": 1}, {"truncated": 1}),
    Case("schema_broken", {"lines": 2}, {"schema": 2}),
    Case("schema_broken", {"lines": 1, "how": "wrong_type"}, {"schema": 1}),
    Case("several_output_items", {"lines": 3}),
)
def test_row_20_answers_that_are_none(road: Road, case: Case) -> None:
    """All items are read; a refusal, a cut answer and a broken schema have a cause each."""
    case.strike(road)


@pytest.mark.parametrize(("fault", "cause"), [("refusal", "refusal"), ("schema_broken", "schema")])
def test_row_20_the_cause_is_told_with_the_record(road: Road, fault: str, cause: str) -> None:
    road.fault(fault, numbers=[2])
    road.bring()
    (failed,) = [record for record in road.outputs() if record.headers.get(Header.ERROR)]
    assert (failed.headers[Header.STATUS], failed.headers[Header.POSITION]) == (b"failed", b"reviews/0/1")
    assert (failed.headers[Header.ERROR] or b"").startswith(cause.encode())
    assert failed.json() == {"review_id": "1", "label": None, "score": None}
