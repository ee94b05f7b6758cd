"""Row 4: room in the provider's queue, shared by two who submit at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.accounts import Keyless
from poller.alarms import Kind
from poller.health import Watchdog
from poller.operate.status import report
from poller.watch.rescuer import Rescuer
from shared.lessons import POLICY
from shared.lifecycle import TERMINAL, State
from shared.messages import Header
from shared.store import Batch
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

RECORDS = 4
BATCHES = 7
HOUR = 3600
LIMIT = 3 * RECORDS * 650
"""Room for three batches of LONG reviews, whose size tells well what they take."""
LONG = "review {} " + "word " * 400


@dataclass
class Hall:
    """A provider with little room, two who submit, and one who watches, collects and publishes."""

    back: Back
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def stage(self) -> Stage:
        return self.back.stage

    def refused(self) -> int:
        """Creates that the provider refused for want of room."""
        return sum(event["phase"] == "failed" for event in self.stage.server.witness().events("ended"))

    def most_at_once(self) -> int:
        """How many batches the provider had at the same time, and did not refuse, at most."""
        witness = self.stage.server.witness()
        failed = {event["batch"] for event in witness.events("ended") if event["phase"] == "failed"}
        inside = most = 0
        for event in witness.events("create", "ended"):
            if event["batch"] not in failed:
                inside += 1 if event["kind"] == "create" else -1
                most = max(most, inside)
        return most

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Two submit all that is due, each on its thread, with nothing in common but the store."""
        threads = [threading.Thread(target=self._submit, args=(f"submitter:{n}:x",)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _submit(self, holder: str) -> None:
        other = Stage(
            self.stage.server, self.stage.folder, self.stage.provider, self.stage.sink, state_store=self.stage.store_url
        )
        keyless = Keyless(Watchdog(other.store, holder), other.clock)
        rescuer = Rescuer(other.store, other.submission(holder).work, other.clock, keyless)
        while not self.stop.wait(0.05):
            rescuer.run_once()
        other.close()

    def watch(self) -> bool:
        self.stage.watcher().run_once()
        return True

    def waiting(self, reason: str) -> list[Batch]:
        """Batches that are held for a reason."""
        held = self.stage.store.batches.rows((State.HELD,))
        return [batch for batch in held if (batch.held_reason or "").startswith(f"{reason}: ")]

    def finish(self, keys: list[str]) -> None:
        """Until every batch is out."""
        self.back.assign(*keys)
        publisher = self.back.publisher()
        duties = (self.stage.watcher(), self.back.collector(), publisher)

        def are_out() -> bool:
            for duty in duties:
                duty.run_once()
            return all(self.stage.batch(key).state in TERMINAL for key in keys)

        try:
            wait_until(
                are_out,
                120,
                lambda: f"all to be out: {[(b.state, b.held_reason) for b in map(self.stage.batch, keys)]}",
            )
        finally:
            publisher.close()

    def check(self, keys: list[str]) -> None:
        """Every record is out once, paid once."""
        count = len(keys) * RECORDS
        requests = {record.headers[Header.REQUEST] for record in self.back.outputs(at_least=count)}
        assert len(requests) == len(self.back.outputs(at_least=count)) == count
        assert set(self.stage.server.witness().billed_prompts().values()) == {1}
        assert all(self.stage.batch(key).state is State.PUBLISHED for key in keys)


Make = Callable[..., Hall]


@pytest.fixture
def hall(broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Make]:
    servers: list[ProviderServer] = []

    def make(provider: str, limits: dict[str, int], **options: Any) -> Hall:
        servers.append(ProviderServer(tmp_path / "provider", limits=limits, processing_seconds=0.3).start())
        topic = make_topic("sentiments", SINK_TOPIC)
        stage = Stage(
            servers[0],
            tmp_path,
            provider,
            sink(broker, topic),
            batch_options={"request_timeout": 60.0, **options},
            review=LONG.format,
        )
        return Hall(Back(stage, broker, f"progress-{topic}"))

    yield make
    for server in servers:
        server.stop()


def test_row_04_a_stated_limit_is_never_exceeded_and_used(hall: Make) -> None:
    made = hall("openai", {"openai_enqueued_tokens": LIMIT}, max_enqueued_tokens=LIMIT)
    keys = [made.stage.plan(RECORDS) for _ in range(BATCHES)]
    assert all(LIMIT // 4 < (made.stage.batch(key).estimated_tokens or 0) <= LIMIT // 3 for key in keys)
    made.stage.server.set_fault("stuck_in_progress", seconds=HOUR, times=3)
    with made.submitting():
        wait_until(lambda: len(made.waiting("tokens")) == BATCHES - 3, 60, "all but three to wait")
        wait_until(lambda: made.most_at_once() == 3, 60, "three at once")
        made.stage.server.advance(HOUR)
        made.finish(keys)
    made.check(keys)
    assert made.refused() == 0


def test_row_04_a_limit_is_learned_at_the_price_of_a_few_refusals(hall: Make) -> None:
    made = hall("openai", {"openai_enqueued_tokens": LIMIT})
    keys = [made.stage.plan(RECORDS) for _ in range(BATCHES)]
    made.stage.server.set_fault("stuck_in_progress", seconds=HOUR, times=3)
    with made.submitting():
        wait_until(lambda: made.watch() and made.refused(), 60, "a refusal")
        made.stage.server.advance(HOUR)
        made.finish(keys)
        first = made.refused()
        assert first < POLICY.trial
        more = [made.stage.plan(RECORDS) for _ in range(BATCHES)]
        made.finish(more)
    made.check([*keys, *more])
    assert made.refused() == first, "what was learned was forgotten"


def test_row_04_what_is_larger_than_the_queue_is_told_and_what_is_planned_later_is_cut(hall: Make) -> None:
    made = hall("openai", {"openai_enqueued_tokens": LIMIT})
    large = made.stage.plan(4 * RECORDS)
    with made.submitting():
        wait_until(lambda: made.watch() and made.waiting("too-large"), 60, "the refusal")
        (alarm,) = report(made.stage.store, made.stage.clock).attention
        assert (alarm.kind, alarm.subject) == (Kind.TOO_LARGE, large)
        assert "batch.max-bytes" in alarm.message
        made.stage.files = 4
        made.finish([made.stage.plan(RECORDS)])
    assert made.refused() == 1
    cut = made.stage.store.queues.cut(made.stage.definition().model, "pipe", "sentiments", None)
    assert cut.max_bytes is not None
    assert cut.max_bytes < made.stage.batch(large).bytes


def test_row_04_requests_in_anthropics_queue_are_counted(hall: Make) -> None:
    made = hall("anthropic", {"anthropic_queued_requests": 3 * RECORDS})
    keys = [made.stage.plan(RECORDS) for _ in range(BATCHES)]
    with made.submitting():
        made.finish(keys)
    made.check(keys)
    attempts = [attempt for key in keys for attempt in made.stage.store.attempts.of(key)]
    refused = [attempt for attempt in attempts if attempt.outcome == "not sent"]
    assert len(refused) <= 2


def test_row_04_a_batch_that_is_refused_minutes_later_is_no_fault_of_its_data(hall: Make) -> None:
    made = hall("openai", {})
    made.stage.server.set_fault("token_limit_exceeded", times=1, limit=LIMIT)
    key = made.stage.submit(RECORDS)
    held = made.stage.watch_until(key, State.HELD)
    assert (held.held_reason or "").startswith("tokens: ")
    assert "token_limit_exceeded" in (held.held_reason or "")
    with made.submitting():
        made.finish([key])
    made.check([key])
    assert made.stage.batch(key).retries == 0
