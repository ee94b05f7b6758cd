from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.outcome import Carry, child_runs, records_in, refuse, settle, settle_asked, together
from poller.results import ResultsWriter, Verdict
from shared.definition import BatchOptions
from shared.keys import batch_key
from shared.manifest import Fate, Manifest
from shared.providers.port import LineError
from tests.rig import samples

KEY = batch_key("p", "s", "file", 0)


def manifest(runs: tuple[tuple[int, Fate], ...] = ((6, "request"),), *, retries: int = 0, key: str = KEY) -> Manifest:
    requests = records_in(runs)
    return Manifest(
        batch_key=key,
        pipeline="pipe",
        statement="sentiments",
        generation=0,
        definition=samples.definition(batch=BatchOptions(max_retries=2)),
        sealed_file="pipe/sentiments/sealed/x/part",
        sealed_at=datetime(2026, 1, 1, tzinfo=UTC),
        start=0,
        end=1,
        runs=runs,
        requests=requests,
        records=requests + sum(count for count, fate in runs if fate == "rejected"),
        bytes=1,
        sha256="",
        retries=retries,
    )


def writer(folder: Path, *verdicts: Verdict) -> ResultsWriter:
    made = ResultsWriter(folder, len(verdicts))
    for request, verdict in enumerate(verdicts):
        if verdict:
            made.put(request, verdict, b'["provider-error","said",null]')
    return made


def test_what_may_be_retried_is_carried_and_what_the_account_did_uses_no_retry(tmp_path: Path) -> None:
    seen = (Verdict.ANSWERED, Verdict.MISSING, Verdict.RETRY, Verdict.ACCOUNT, Verdict.FAILED, Verdict.ACCOUNT)
    with writer(tmp_path, *seen) as results:
        carries = settle(results, manifest(retries=1))
        assert [(carry.requests, carry.retries) for carry in carries] == [((3, 5), 1), ((1, 2), 2)]
        assert [Verdict(verdict).name for verdict in results.verdicts] == [
            "ANSWERED", "CARRIED", "CARRIED", "CARRIED", "FAILED", "CARRIED",
        ]  # fmt: skip


def test_what_we_ended_ourselves_uses_no_retry(tmp_path: Path) -> None:
    with writer(tmp_path, Verdict.ANSWERED, Verdict.MISSING, Verdict.RETRY) as results:
        assert settle(results, manifest(retries=2), harvested=True) == [Carry((1, 2), 2)]
        assert settle(results, manifest(retries=2)) == [], "it is decided once"


@pytest.mark.parametrize(("retries", "carries"), [(0, [Carry((0,), 0), Carry((2,), 1, "sync")]), (2, [Carry((0,), 2)])])
def test_what_was_not_asked_goes_into_a_batch_and_what_failed_is_asked_again(
    tmp_path: Path, retries: int, carries: list[Carry]
) -> None:
    with writer(tmp_path, Verdict.MISSING, Verdict.ANSWERED, Verdict.RETRY, Verdict.FAILED) as results:
        assert settle_asked(results, manifest(retries=retries)) == carries
        assert Verdict.MISSING not in list(results.verdicts)
        assert Verdict.RETRY not in list(results.verdicts)


def test_on_the_synchronous_road_everything_goes_together() -> None:
    carries = [Carry((4, 5), 1), Carry((0, 2), 2)]
    assert together(carries, "sync") == [Carry((0, 2, 4, 5), 2, "sync")]
    assert together([], "sync") == []


def test_without_retries_left_only_the_account_s_faults_are_carried(tmp_path: Path) -> None:
    seen = (Verdict.MISSING, Verdict.RETRY, Verdict.ACCOUNT)
    with writer(tmp_path, *seen) as results:
        carries = settle(results, manifest(((3, "request"),), retries=2))
        assert [carry.requests for carry in carries] == [(2,)]
        assert list(results.verdicts) == [Verdict.FAILED, Verdict.FAILED, Verdict.CARRIED]


def test_named_lines_fail_and_the_rest_is_carried_without_using_a_retry(tmp_path: Path) -> None:
    errors = [LineError("invalid_json", 2, "bad line"), LineError("invalid_json", 99, "no such line")]
    with ResultsWriter(tmp_path, 6) as results:
        (carry,) = refuse(results, manifest(), errors, bisected=False)
        assert (carry.requests, carry.retries) == ((0, 2, 3, 4, 5), 0)
        assert results.verdicts[1] == Verdict.FAILED


def test_a_line_that_a_refused_create_names_is_set_aside(tmp_path: Path) -> None:
    errors = [LineError(None, None, "requests.3.custom_id: String should match pattern")]
    with ResultsWriter(tmp_path, 6) as results:
        (carry,) = refuse(results, manifest(), errors, bisected=False)
        assert carry.requests == (0, 1, 2, 4, 5)


@settings(max_examples=25)
@given(st.integers(1, 64), st.data())
def test_halving_finds_the_one_bad_request_and_bills_nothing_twice(requests: int, data: st.DataObject) -> None:
    """Follow the children of a batch with one bad line: it alone fails, every other one is accepted once."""
    bad = data.draw(st.integers(0, requests - 1))
    accepted: list[int] = []
    failed: list[int] = []
    waiting = [tuple(range(requests))]
    creates = 0
    while waiting:
        batch = waiting.pop()
        creates += 1
        if bad not in batch:
            accepted += batch
            continue
        with TemporaryDirectory() as folder, ResultsWriter(Path(folder), len(batch)) as results:
            runs: tuple[tuple[int, Fate], ...] = ((len(batch), "request"),)
            carries = refuse(results, manifest(runs), [LineError(None, None, "something is bad")], bisected=False)
            failed += [batch[n] for n, verdict in enumerate(results.verdicts) if verdict == Verdict.FAILED]
        waiting += [tuple(batch[n] for n in carry.requests) for carry in carries]
    assert failed == [bad]
    assert sorted([*accepted, bad]) == list(range(requests))
    assert creates <= 2 * requests.bit_length() + 1


@pytest.mark.parametrize(
    ("error", "bisected"),
    [(LineError("model_not_found", 1, "no such model"), False), (LineError(None, None, "no"), True)],
)
def test_what_is_true_of_every_line_fails_them_all(tmp_path: Path, error: LineError, bisected: bool) -> None:
    with ResultsWriter(tmp_path, 6) as results:
        assert refuse(results, manifest(), [error], bisected=bisected) == []
        assert set(results.verdicts) == {Verdict.FAILED}


def test_a_chain_of_children_ends_before_its_ids_grow_too_long(tmp_path: Path) -> None:
    with ResultsWriter(tmp_path, 6) as results:
        assert settle(results, manifest(key=KEY + "a" * 34)) == []
        assert set(results.verdicts) == {Verdict.FAILED}


FATES = st.sampled_from(["request", "rejected", "elsewhere"])


@given(st.lists(st.tuples(st.integers(1, 5), FATES), min_size=1, max_size=8), st.data())
def test_a_child_covers_its_requests_rows_and_no_other(runs: list[tuple[int, Fate]], data: st.DataObject) -> None:
    parent = manifest(tuple(runs))
    chosen = data.draw(st.sets(st.integers(0, max(parent.requests - 1, 0)), max_size=parent.requests))
    chosen &= set(range(parent.requests))
    fates = [fate for count, fate in child_runs(parent, sorted(chosen)) for _ in range(count)]
    expected, request = [], 0
    for fate in parent.fates():
        expected.append("request" if fate == "request" and request in chosen else "elsewhere")
        request += fate == "request"
    assert fates == expected
