"""Batches that end otherwise: lost, out of credit or retries, refused as a whole, another's, without requests."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.collect.bisection import Bisection, Halving
from poller.collect.collector import Collecting, Collector
from poller.collect.decision import Decision, decide
from poller.health import Watchdog
from shared.keys import child_key
from shared.lease import Keeper, this_process
from shared.lifecycle import Event, State
from shared.messages import ErrorRecord, Header
from shared.spool import DECISION
from shared.store import PlannedBatch
from tests.rig.fixtures import MakeTopic
from tests.rig.results import QUICK, SINK_TOPIC, Back, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

RECORDS = 6
HOUR = timedelta(hours=1)
MakeBack = Callable[..., Back]


@pytest.fixture
def make_back(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[MakeBack]:
    server.clear_faults()
    made: list[Stage] = []

    def make(provider: str = "openai", **stage: Any) -> Back:
        topic = make_topic("sentiments", SINK_TOPIC)
        made.append(Stage(server, tmp_path, provider, sink(broker, topic), **stage))
        return Back(made[-1], broker, f"progress-{topic}")

    yield make
    for stage in made:
        stage.close()


def causes(back: Back, topic: str | None = None) -> Counter[str]:
    errors = [record.headers.get(Header.ERROR) for record in back.outputs(topic, at_least=1)]
    return Counter((error or b"answered").decode().partition(":")[0] for error in errors)


def test_a_lost_batch_is_carried_and_paid_again(make_back: MakeBack) -> None:
    back = make_back()
    key = back.stage.submit(RECORDS)
    back.stage.store.batches.apply(key, Event.LOSE)
    first, child = back.finish(key)
    assert (first.state, first.carried, child.state, child.retries) == (State.PUBLISHED, RECORDS, State.PUBLISHED, 1)
    assert causes(back) == {"answered": RECORDS}


def test_a_lost_batch_without_retries_comes_out_as_errors(make_back: MakeBack) -> None:
    back = make_back(batch_options={"max_retries": 0})
    key = back.stage.submit(RECORDS)
    back.stage.store.batches.apply(key, Event.LOSE)
    (batch,) = back.finish(key)
    assert (batch.failed, batch.carried) == (RECORDS, 0)
    assert causes(back) == {"lost": RECORDS}


def test_retries_are_counted_and_then_used_up(make_back: MakeBack) -> None:
    back = make_back(batch_options={"max_retries": 2})
    back.stage.server.set_fault("line_errored", lines=1)
    family = back.finish(back.stage.submit(1))
    assert [(batch.generation, batch.retries) for batch in family] == [(0, 0), (1, 1), (2, 2)]
    assert causes(back) == {"provider-error": 1}


def test_row_05_when_every_line_is_refused_unnamed_halving_ends(make_back: MakeBack) -> None:
    back = make_back()
    back.stage.server.set_fault("bad_line_fails_batch", contains="review", named=False)
    family = back.finish(back.stage.submit(4))
    assert sum(batch.failed for batch in family) == 4
    assert len(family) == 7
    assert causes(back) == {"rejected": 4}


def test_no_good_record_fails_where_one_in_twenty_is_bad_and_none_is_named(make_back: MakeBack) -> None:
    records, bad = 200, {23, 24, 25, 26, 90, 117, 118, 119, 120, 199}
    back = make_back(review=lambda number: f"{'bad' if number in bad else 'good'} review {number}")
    back.stage.server.set_fault("bad_line_fails_batch", contains="bad review", named=False)
    family = back.finish(back.stage.submit(records))
    outputs = back.outputs(at_least=records)
    failed = {int(record.json()["review_id"]) for record in outputs if record.headers.get(Header.ERROR)}
    assert (failed, len(outputs)) == (bad, records)
    assert {int(record.json()["review_id"]) for record in outputs} == set(range(records))
    assert max(batch.generation for batch in family) + 1 <= (records - 1).bit_length() + 1
    assert max(back.stage.server.witness().billed_custom_ids().values()) == 1


def test_a_large_batch_of_which_no_part_is_ever_accepted_rests_before_it_is_halved_on(make_back: MakeBack) -> None:
    """Else a fault that is everywhere, and named nowhere, would at once cost a create for each of its requests."""
    back = make_back()
    stage = back.stage
    stage.server.set_fault("bad_line_fails_batch", contains="review", named=False)
    key = stage.submit(65)
    known = PlannedBatch.of(stage.spool.manifest("pipe", "sentiments", key))

    def settled(batch: str, decision: Decision) -> None:
        decide(stage.spool.files, stage.spool.batch("pipe", "sentiments", batch), decision)

    bisection = Bisection(stage.store, stage.spool)
    for _ in range(6):
        assert not bisection.must_rest(stage.batch(key)), "it is not deep enough"
        halves = [child_key(key, number) for number in range(2)]
        for half in halves:
            child = replace(known, batch_key=half, parent=key)
            stage.store.batches.register(child, provider_batch_id=f"batch_{half}", submitted_at=stage.clock())
        settled(key, Decision(results="0" * 32, refused=True, children=tuple(halves)))
        other, key = halves
        assert not bisection.must_rest(stage.batch(key)), "the other half may be accepted"
        settled(other, Decision(results="0" * 32, refused=True))
    assert bisection.must_rest(stage.batch(key))
    small = replace(stage.batch(key), requests=64)
    assert not bisection.must_rest(small)


def test_a_part_that_must_rest_is_sent_once_more_and_then_halved(make_back: MakeBack) -> None:
    back = make_back()
    stage = back.stage
    keeper, watchdog = Keeper(stage.store, this_process()), Watchdog(stage.store, this_process())
    how = Collecting(timedelta(), QUICK, halving=Halving(deepest=1, small=1, rest=HOUR))
    provider_of = stage.models().provider_of
    collector = Collector(stage.store, stage.spool, provider_of, keeper, watchdog, stage.clock, collecting=how)

    def refused(key: str) -> Counter[str]:
        stage.submission().work(key)
        stage.watch_until(key, State.ENDED)
        return Counter(collector.run_once())

    stage.server.set_fault("bad_line_fails_batch", contains="review", named=False)
    key = stage.submit(4)
    assert refused(key) == {"collected": 1}
    first, second = [child.batch_key for child in back.children(key)]
    assert refused(first) == {"collected": 1}, "the other half may be accepted"
    assert refused(second) == {"bounced": 1}
    held = stage.batch(second)
    assert (held.state, held.provider_batch_id) == (State.HELD, None)
    assert "as if the definition were at fault" in (held.held_reason or "")
    assert second not in {batch.batch_key for batch in stage.store.batches.due((State.HELD,), stage.clock(), 10)}
    stage.ahead = HOUR
    assert refused(second) == {"collected": 1}
    assert [child.requests for child in back.children(second)] == [1, 1]


def test_row_20_errors_go_to_the_error_topic_with_the_raw_answer(make_back: MakeBack, make_topic: MakeTopic) -> None:
    errors = make_topic("errors")
    back = make_back(batch_options={"error_topic": errors})
    back.stage.server.set_fault("schema_broken", times=1, lines=2)
    key = back.stage.submit(RECORDS)
    (batch,) = back.finish(key)
    assert (batch.succeeded, batch.failed) == (RECORDS - 2, 2)
    assert causes(back) == {"answered": RECORDS - 2}
    records = back.outputs(errors, at_least=2)
    assert len(records) == 2
    for record in records:
        told = ErrorRecord.model_validate_json(record.value or b"")
        assert (told.batch_key, told.cause) == (key, "schema")
        assert told.row["review"] == f"review {told.row['review_id']}"
        assert told.position == [0, 0, int(str(told.row["review_id"]))]
        assert told.raw_answer
        assert record.key == b'{"review_id":"%s"}' % str(told.row["review_id"]).encode()


def test_results_of_another_batch_disprove_an_adoption(make_back: MakeBack) -> None:
    back = make_back("anthropic")
    mine, other = back.stage.submit(RECORDS), back.stage.submit(RECORDS)
    stranger = back.stage.batch(other).provider_batch_id
    for key in (mine, other):
        back.stage.watch_until(key, State.ENDED)
    back.stage.store.batches.record(mine, provider_batch_id=stranger)
    counts = back.collector().run_once()
    assert counts["disowned"] == 1
    batch = back.stage.batch(mine)
    assert (batch.state, batch.provider_batch_id) == (State.AMBIGUOUS, None)
    assert back.stage.store.attempts.of(mine)[0].disowned
    assert not back.stage.path(back.stage.spool.batch("pipe", "sentiments", mine)).joinpath(DECISION).exists()


def test_one_poisoned_batch_does_not_hold_up_the_others(make_back: MakeBack) -> None:
    back = make_back()
    keys = [back.stage.submit(RECORDS) for _ in range(3)]
    for key in keys:
        back.stage.watch_until(key, State.ENDED)
    poisoned = back.stage.batch(keys[0])
    manifest = back.stage.path(back.stage.spool.batch("pipe", "sentiments", keys[0])) / "manifest.json"
    kept = manifest.read_bytes()
    manifest.write_bytes(b"{")
    collector = back.collector()
    assert collector.run_once() == {"collected": 2, "faults": 1}
    assert back.stage.batch(poisoned.batch_key).state is State.ENDED
    assert "damaged" in (back.stage.batch(poisoned.batch_key).error or "")
    manifest.write_bytes(kept)
    wait_until(lambda: collector.run_once().get("collected"), 30, "the mended batch to be collected")


def test_a_poisoned_publication_does_not_hold_up_the_others(make_back: MakeBack) -> None:
    back = make_back()
    keys = [back.stage.submit(RECORDS) for _ in range(3)]
    for key in keys:
        back.collect(key)
    back.assign(*keys)
    folder = back.stage.path(back.stage.spool.batch("pipe", "sentiments", keys[0]))
    (index,) = folder.glob("results/*/results.index")
    index.write_bytes(b"damaged")
    publisher = back.publisher()
    assert publisher.run_once() == {"published": 2, "faults": 1}
    assert back.stage.batch(keys[0]).state is State.COLLECTED
    assert len(back.outputs(at_least=2 * RECORDS)) == 2 * RECORDS
    publisher.close()
