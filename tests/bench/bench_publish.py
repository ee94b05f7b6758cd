"""Collect, join and publish of a batch's results, beside a bare transactional producer that sends the same bytes."""

import time

from poller.publish.publisher import Publisher
from shared.lifecycle import State
from tests.bench.published import Bench, Plain, bench, plain
from tests.bench.rows import Row, interleaved, per_second, rate_row, timed
from tests.rig.waiting import wait_until

RECORDS, ROUNDS = 50_000, 5
TARGET, SECONDS = 0.5, 5.0


def main() -> list[Row]:
    """Two rows: the rate, and the time from a batch's end at the provider to its last record's commit."""
    with bench() as stand:
        publisher = stand.back.publisher()
        try:
            _through(stand, publisher, stand.ended(RECORDS))
            messages = plain(stand.back.outputs(at_least=RECORDS))
            return [_rate(stand, publisher, messages), _latency(stand, publisher)]
        finally:
            publisher.close()


def _rate(stand: Bench, publisher: Publisher, messages: list[Plain]) -> Row:
    def ours() -> float:
        key = stand.ended(RECORDS)
        return timed(lambda: _through(stand, publisher, key))

    seconds = interleaved({"ours": ours, "bare": lambda: timed(lambda: stand.send(messages))}, ROUNDS)
    name = f"collect, join and publish {RECORDS:,} results"
    row = rate_row(name, RECORDS / seconds["ours"], RECORDS / seconds["bare"], "records", TARGET)
    theirs = f"bare transactional producer: {row.theirs}"
    return Row(row.name, row.ours, theirs, row.ratio, row.target, row.met)


def _latency(stand: Bench, publisher: Publisher) -> Row:
    """From the provider's `completed`, through every duty's pass, to the store's `published`."""
    stage = stand.back.stage
    key = stage.submit(RECORDS)
    stand.back.assign(key)
    provider = stage.models().provider_of(stage.batch(key))
    remote = stage.batch(key).provider_batch_id or ""
    wait_until(lambda: provider.retrieve(remote).phase == "ended", 300, "the provider to execute a batch")
    begin = time.perf_counter()
    watcher = stage.watcher()
    stage.store.batches.record(key, next_check_at=None)
    watcher.run_once()
    _through(stand, publisher, key)
    took = time.perf_counter() - begin
    name = f"end of a batch to its last record's commit ({RECORDS:,} records)"
    told = f"{per_second(RECORDS / SECONDS, 'records')} needed"
    return Row(name, f"{took:.2f} s", told, None, f"< {SECONDS:g} s", took < SECONDS)


def _through(stand: Bench, publisher: Publisher, key: str) -> None:
    """The two duties' passes, as the poller makes them."""
    stand.back.collector().run_once()
    publisher.run_once()
    assert stand.back.stage.batch(key).state is State.PUBLISHED
