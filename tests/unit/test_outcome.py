from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.outcome import Carry, child_runs, reason, refuse, requests_of, settle, settle_asked, together
from poller.collect.results import ResultsWriter, Verdict
from shared.definition import BatchOptions, OnError
from shared.keys import batch_key
from shared.manifest import Fate, Manifest
from shared.packing import Packing, packs_of
from shared.providers.port import LineError
from tests.rig import samples

KEY = batch_key("p", "s", "file", 0)


def manifest(runs: tuple[tuple[int, Fate], ...] = ((6, "request"),), *, retries: int = 0, key: str = KEY) -> Manifest:
    requests = sum(count for count, fate in runs if fate == "request")
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
        assert [(carry.records, carry.retries) for carry in carries] == [((3, 5), 1), ((1, 2), 2)]
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
        assert [carry.records for carry in carries] == [(2,)]
        assert list(results.verdicts) == [Verdict.FAILED, Verdict.FAILED, Verdict.CARRIED]


def test_named_lines_fail_and_the_rest_is_carried_without_using_a_retry(tmp_path: Path) -> None:
    errors = [LineError("invalid_json", 2, "bad line"), LineError("invalid_json", 99, "no such line")]
    with ResultsWriter(tmp_path, 6) as results:
        (carry,) = refuse(results, manifest(), reason(errors, 6))
        assert (carry.records, carry.retries) == ((0, 2, 3, 4, 5), 0)
        assert results.verdicts[1] == Verdict.FAILED


def test_a_line_that_a_refused_create_names_is_set_aside(tmp_path: Path) -> None:
    errors = [LineError(None, None, "requests.3.custom_id: String should match pattern")]
    with ResultsWriter(tmp_path, 6) as results:
        (carry,) = refuse(results, manifest(), reason(errors, 6))
        assert carry.records == (0, 1, 2, 4, 5)


@pytest.mark.parametrize("line", [0, 7, 99])
def test_a_line_that_a_batch_does_not_have_is_not_named(tmp_path: Path, line: int) -> None:
    with ResultsWriter(tmp_path, 6) as results:
        carries = refuse(results, manifest(), reason([LineError("invalid_json", line, "bad line")], 6))
        assert [carry.records for carry in carries] == [(0, 1, 2), (3, 4, 5)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.data())
def test_halving_fails_the_bad_requests_and_no_other_within_its_rounds(requests: int, data: st.DataObject) -> None:
    """Follow the children of a batch with any bad lines: they alone fail, every other one is accepted once."""
    bad = data.draw(st.frozensets(st.integers(0, requests - 1), max_size=max(requests // 20, 1)))
    accepted: list[int] = []
    failed: list[int] = []
    waiting, rounds = [tuple(range(requests))], 0
    while waiting:
        rounds += 1
        refused = [each for each in waiting if bad.intersection(each)]
        accepted += [number for each in waiting if not bad.intersection(each) for number in each]
        waiting = []
        for batch in refused:
            with TemporaryDirectory() as folder, ResultsWriter(Path(folder), len(batch)) as results:
                runs: tuple[tuple[int, Fate], ...] = ((len(batch), "request"),)
                carries = refuse(results, manifest(runs), reason([LineError(None, None, "it is bad")], len(batch)))
                failed += [batch[n] for n, verdict in enumerate(results.verdicts) if verdict == Verdict.FAILED]
            waiting += [tuple(batch[n] for n in carry.records) for carry in carries]
    assert sorted(failed) == sorted(bad)
    assert sorted([*accepted, *failed]) == list(range(requests))
    assert rounds <= (requests - 1).bit_length() + 1


def test_what_is_true_of_every_line_fails_them_all(tmp_path: Path) -> None:
    with ResultsWriter(tmp_path, 6) as results:
        assert refuse(results, manifest(), reason([LineError("model_not_found", 1, "no such model")], 6)) == []
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


SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=12)
ON_ERROR = st.sampled_from(["retry", "split", "individual", "null"])
_UNDECIDED = (Verdict.MISSING, Verdict.RETRY, Verdict.ACCOUNT, Verdict.REFUSED, Verdict.UNREAD)


def packed(sizes: list[int], on_error: OnError = "retry", retries: int = 0) -> Manifest:
    plain = manifest(((sum(sizes), "request"),), retries=retries)
    batch = BatchOptions(size=5, max_retries=2, response_on_error=on_error)
    definition = plain.definition.model_copy(update={"batch": batch})
    return plain.model_copy(update={"definition": definition, "requests": len(sizes), "packs": packs_of(sizes)})


@settings(max_examples=200, deadline=None)
@given(SIZES, ON_ERROR, st.integers(0, 2), st.booleans(), st.booleans(), st.data())
def test_each_record_of_shared_requests_is_answered_failed_or_carried_once(
    sizes: list[int], on_error: OnError, retries: int, asked: bool, harvested: bool, data: st.DataObject
) -> None:
    stated, packing = packed(sizes, on_error, retries), Packing(len(sizes), packs_of(sizes))
    seen = [data.draw(st.sampled_from([Verdict.ANSWERED, Verdict.FAILED, *_UNDECIDED])) for _ in range(sum(sizes))]
    with TemporaryDirectory() as folder, writer(Path(folder), *seen) as results:
        carries = settle_asked(results, stated) if asked else settle(results, stated, harvested=harvested)
        after = [Verdict(verdict) for verdict in results.verdicts]
    carried = sorted(record for carry in carries for record in carry.records)
    assert carried == [n for n, verdict in enumerate(after) if verdict == Verdict.CARRIED]
    assert set(after) <= {Verdict.ANSWERED, Verdict.FAILED, Verdict.CARRIED}
    for record, (before, verdict) in enumerate(zip(seen, after, strict=True)):
        if before in (Verdict.ANSWERED, Verdict.FAILED):
            assert verdict == before
        if before == Verdict.REFUSED:
            assert verdict == Verdict.CARRIED, "what cost nothing is cut smaller, whatever is left of the retries"
        if before == Verdict.UNREAD and on_error == "null":
            assert verdict == Verdict.FAILED, record
    for carry in carries:
        parts = list(requests_of(carry, packing))
        assert [record for _, records in parts for record in records] == sorted(carry.records)
        for request, records in parts:
            together = [record for record in carry.records if record in packing.of(request)]
            most = {"whole": len(together), "halves": (len(together) + 1) // 2, "singles": 1}[carry.cut]
            assert 0 < len(records) <= most


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_halving_finds_the_bad_records_in_shared_requests(sizes: list[int], data: st.DataObject) -> None:
    """Requests are refused for any of their records: these alone fail, every other one is accepted once."""
    bad = data.draw(st.frozensets(st.integers(0, sum(sizes) - 1), max_size=3))
    named = data.draw(st.booleans())
    waiting = [[list(records) for records in (Packing(len(sizes), packs_of(sizes)).of(n) for n in range(len(sizes)))]]
    accepted: list[int] = []
    failed: list[int] = []
    for _ in range(40):
        refused = [each for each in waiting if bad.intersection(record for records in each for record in records)]
        accepted += [record for each in waiting if each not in refused for records in each for record in records]
        waiting = []
        for batch in refused:
            own = [record for records in batch for record in records]
            stated = packed([len(records) for records in batch])
            lines = [n for n, records in enumerate(batch, 1) if bad.intersection(records)] if named else [None]
            errors = [LineError(None, line, "it is bad") for line in lines]
            with TemporaryDirectory() as folder, ResultsWriter(Path(folder), len(own)) as results:
                carries = refuse(results, stated, reason(errors, len(batch)))
                failed += [own[n] for n, verdict in enumerate(results.verdicts) if verdict == Verdict.FAILED]
            parts = [[records for _, records in requests_of(carry, stated.packing)] for carry in carries]
            waiting += [[[own[n] for n in records] for records in part] for part in parts]
    assert not waiting
    assert sorted(failed) == sorted(bad)
    assert sorted([*accepted, *failed]) == list(range(sum(sizes)))
