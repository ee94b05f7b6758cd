"""Admission on both databases: what is kept, what is told, who is let in, also by several at once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from shared.admission import UNCUT, Cut
from shared.errors import NoRoom
from shared.estimate import TOKENS_PER_BYTE
from shared.lessons import POLICY
from shared.lifecycle import Event, State
from shared.store import Batch, PlannedBatch, Store
from tests.rig.samples import definition
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, planned, put, walk

ACCOUNT = "openai:KEY@api"
BYTES = 4000
NEED = int(BYTES * TOKENS_PER_BYTE)
LIMIT = 3 * NEED


def fill(store: Store, number: int, first: datetime = NOON) -> list[str]:
    """So many batches of NEED tokens, sealed one after the other."""
    keys = [f"k-{n}" for n in range(number)]
    put(store, *(planned(key, bytes=BYTES, sealed_at=first + n * MINUTE) for n, key in enumerate(keys)))
    return keys


def admit(store: Store, key: str, stated: int | None = LIMIT, per_hour: int | None = None) -> Batch:
    """As a submission does, whose process lives."""
    lease = store.leases.acquire(f"batch/{key}", f"holder-of-{key}", MINUTE)
    assert lease is not None
    batch = store.queues.admit(key, lease, stated=stated, per_hour=per_hour)
    if not batch.is_admitted:
        store.leases.release(lease)
    return batch


def send(store: Store, key: str, **intend: int) -> None:
    """Create what was let in, and say that the provider has it."""
    batch = store.batches.get(key)
    assert batch is not None
    assert batch.is_admitted
    attempt = store.attempts.intend(key, None, account=batch.account, requests=1, bytes=1, **intend)  # type: ignore[arg-type]  # columns by name
    now = attempt.started_at
    store.attempts.resolve(key, attempt.attempt, None, Event.ACCEPT, provider_batch_id=f"b-{key}", submitted_at=now)


def take(store: Store, key: str) -> None:
    """The provider says that it works on a batch."""
    store.batches.apply(key, Event.PROGRESS, remote_status="in_progress")


def due(store: Store, clock: SetClock) -> list[str]:
    return [batch.batch_key for batch in store.batches.due([State.HELD], clock.now, 99)]


def test_the_limit_is_kept_and_who_waits_is_told_when_there_is_room(store: Store, clock: SetClock) -> None:
    keys = fill(store, 5)
    for key in keys[:3]:
        assert admit(store, key).is_admitted
        send(store, key)
    for key in keys[3:]:
        held = admit(store, key)
        assert (held.state, held.is_admitted) == (State.HELD, False)
        assert (held.held_reason or "").startswith(
            f"tokens: {LIMIT:,} of {LIMIT:,} are in use, and it needs about 1,000"
        )
        assert held.held_until == clock.now + POLICY.look
    assert due(store, clock) == []
    take(store, "k-0")
    assert due(store, clock) == []
    store.batches.apply("k-0", Event.END)
    assert due(store, clock) == ["k-3"], "the first one that waits, and no other"
    assert not admit(store, "k-4").is_admitted
    assert admit(store, "k-3").is_admitted


@pytest.mark.parametrize("leaves", [Event.END, Event.BOUNCE, Event.LOSE])
def test_room_comes_however_a_batch_leaves(store: Store, clock: SetClock, leaves: Event) -> None:
    keys = fill(store, 4)
    for key in keys[:3]:
        admit(store, key)
        send(store, key)
    admit(store, "k-3")
    held = {"held_reason": "x", "held_until": clock.now + MINUTE} if leaves is Event.BOUNCE else {}
    store.batches.apply("k-1", leaves, **held)  # type: ignore[arg-type]  # columns by name
    assert due(store, clock) == ["k-3"]


def test_several_who_ask_at_once_are_not_let_in_together(stores: list[Store]) -> None:
    keys = fill(stores[0], 8)
    for store in stores:
        store.queues.rate("openai", "gpt-5-mini", "pipe", "sentiments")
    calls: list[Callable[[], Batch]] = [partial(admit, stores[n % 4], key) for n, key in enumerate(keys)]
    results = at_once(calls)
    assert sum(batch.is_admitted for batch in results) <= 3
    again = [admit(stores[0], key) for key in keys]
    assert sum(batch.is_admitted for batch in again) == 3


def test_what_a_dead_process_kept_is_free_when_its_lease_lapses(store: Store, clock: SetClock) -> None:
    keys = fill(store, 4)
    assert [admit(store, key).is_admitted for key in keys] == [True, True, True, False]
    clock.advance(2 * MINUTE)
    assert admit(store, "k-3").state is State.HELD, "those before it come first"
    assert [admit(store, key).is_admitted for key in keys] == [True, True, True, False]


def test_one_whose_lease_lapsed_while_others_came_in_is_not_sent(store: Store, clock: SetClock) -> None:
    keys = fill(store, 4)
    assert admit(store, "k-0").is_admitted
    clock.advance(2 * MINUTE)
    for key in keys[1:]:
        store.queues.admit(key, None, stated=2 * LIMIT)
        send(store, key)
    store.queues.admit("k-0", None, stated=LIMIT)
    with pytest.raises(NoRoom):
        store.attempts.intend("k-0", None, account=ACCOUNT, requests=1, bytes=1)


def test_a_batch_that_can_not_be_uploaded_gives_its_room_back(store: Store, clock: SetClock) -> None:
    keys = fill(store, 4)
    for key in keys:
        admit(store, key)
    store.batches.apply("k-0", Event.HOLD, held_reason="no connection", held_until=clock.now + MINUTE)
    assert due(store, clock) == ["k-3"]


def test_one_that_is_passed_remembers_it(store: Store) -> None:
    first = planned("large", bytes=2 * BYTES)
    put(store, first)
    keys = fill(store, 5, NOON + MINUTE)
    for key in keys[:2]:
        store.queues.admit(key, None, stated=2 * LIMIT)
        send(store, key)
    assert admit(store, "large").state is State.HELD
    assert admit(store, keys[2]).is_admitted
    large = store.batches.get("large")
    assert large is not None
    assert large.yielded == NEED


def test_one_that_is_set_aside_keeps_nobody_waiting_until_it_is_tried_again(store: Store, clock: SetClock) -> None:
    keys = fill(store, 5)
    assert [admit(store, key).is_admitted for key in keys] == [True, True, True, False, False]
    for key in keys[:3]:
        send(store, key)
    store.batches.record("k-3", error="its requests are cut", next_check_at=clock.now + MINUTE)
    store.batches.apply("k-0", Event.END)
    assert due(store, clock) == ["k-4"]
    clock.advance(MINUTE)
    assert not admit(store, "k-4").is_admitted, "it has its place back"
    assert admit(store, "k-3").is_admitted


def test_a_refusal_teaches_the_limit_to_all(store: Store, clock: SetClock) -> None:
    keys = fill(store, 6)
    for key in keys:
        assert admit(store, key, None).is_admitted
        send(store, key)
    for key in keys[:3]:
        take(store, key)
    for key in keys[3:]:
        batch = store.batches.get(key)
        assert batch is not None
        wait = store.queues.refused(batch, LIMIT, "token_limit_exceeded: no")
        assert wait.reason.endswith("(token_limit_exceeded: no)")
        store.batches.apply(key, Event.BOUNCE, held_reason=wait.reason, held_until=wait.until)
    clock.advance(timedelta(seconds=1))
    assert not any(admit(store, key, None).is_admitted for key in keys[3:])
    store.batches.apply("k-0", Event.END)
    assert due(store, clock) == ["k-3"]
    assert admit(store, "k-3", None).is_admitted


def test_one_larger_than_the_limit_is_told_so(store: Store, clock: SetClock) -> None:
    put(store, planned("large", bytes=4 * BYTES))
    assert admit(store, "large", None).is_admitted
    send(store, "large")
    batch = store.batches.get("large")
    assert batch is not None
    wait = store.queues.refused(batch, LIMIT, "token_limit_exceeded: no")
    assert wait.reason.startswith("too-large: it needs about 4,000 tokens, and the limit is 3,000")
    assert wait.until == clock.now + POLICY.too_large
    store.batches.apply("large", Event.BOUNCE, held_reason=wait.reason, held_until=wait.until)
    fill(store, 1)
    assert admit(store, "k-0", None).is_admitted, "it keeps nobody waiting"


def test_creates_of_an_hour_are_counted_for_the_account(store: Store, clock: SetClock) -> None:
    keys = fill(store, 3)
    for key in keys[:2]:
        assert admit(store, key, None, per_hour=2).is_admitted
        send(store, key, per_hour=2)
        clock.advance(MINUTE)
    held = admit(store, "k-2", None, per_hour=2)
    assert (held.held_reason or "").startswith("creates: ")
    assert held.held_until == clock.now + timedelta(minutes=58)
    clock.advance(timedelta(minutes=58))
    assert admit(store, "k-2", None, per_hour=2).is_admitted


def test_one_account_s_queue_is_not_another_s(store: Store) -> None:
    for key in fill(store, 3):
        admit(store, key)
        send(store, key)
    put(store, planned("model", model="gpt-5", bytes=BYTES), planned("account", account="openai:B@api", bytes=BYTES))
    assert admit(store, "model").is_admitted
    assert admit(store, "account").is_admitted


def test_anthropic_counts_requests_of_all_models(store: Store) -> None:
    def batch(key: str, model: str) -> PlannedBatch:
        return planned(key, provider="anthropic", account="anthropic:KEY@api", model=model, requests=10, records=10)

    put(store, batch("a-0", "haiku"), batch("b-0", "opus"), batch("c-0", "opus"))
    for key in ("a-0", "b-0"):
        assert admit(store, key, 20).is_admitted
        send(store, key)
    held = admit(store, "c-0", 20)
    assert (held.held_reason or "").startswith("requests: 20 of 20 are in use, and it needs about 10")


def test_what_batches_used_corrects_the_estimates(store: Store) -> None:
    put(store, planned())
    batch = store.batches.get("k-0")
    assert batch is not None

    def rate(statement: str, model: str = "gpt-5-mini") -> float:
        return store.queues.rate("openai", model, "pipe", statement)

    assert rate("sentiments") == TOKENS_PER_BYTE
    store.queues.measure(batch, 1000, 500)
    store.queues.measure(batch, 1000, 300)
    assert rate("sentiments") == pytest.approx(0.4)
    assert rate("another") == pytest.approx(0.4), "the model's, until it has its own"
    store.queues.measure(replace(batch, statement="another"), 2000, 200)
    assert rate("another") == pytest.approx(0.1)
    assert rate("a third") == pytest.approx(0.25)
    assert rate("sentiments", "gpt-5") == TOKENS_PER_BYTE
    store.queues.measure(batch, 0, 7)
    assert rate("sentiments") == pytest.approx(0.4)


def test_a_plan_is_cut_to_what_was_learned_or_stated(store: Store) -> None:
    model = definition().model

    def cut(stated: int | None = None) -> Cut:
        return store.queues.cut(model, "pipe", "sentiments", stated)

    assert cut() == UNCUT
    assert cut(1000) == Cut(max_bytes=3600)
    put(store, planned(account=model.account))
    batch = store.batches.get("k-0")
    assert batch is not None
    store.queues.refused(batch, 500, "no")
    assert cut() == Cut(max_bytes=1800)
    assert cut(1000) == Cut(max_bytes=1800)
    store.queues.measure(batch, 1000, 500)
    assert cut() == Cut(max_bytes=900)


def test_a_paused_account_comes_before_its_queue(store: Store, clock: SetClock) -> None:
    fill(store, 2)
    store.accounts.pause(ACCOUNT, "no credit", MINUTE)
    assert admit(store, "k-0").held_reason == "account: no credit"
    clock.advance(MINUTE)
    assert admit(store, "k-0").is_admitted
    assert admit(store, "k-1").held_reason == "account: no credit"


def test_a_batch_without_room_does_not_ask_for_a_paused_account(store: Store, clock: SetClock) -> None:
    keys = fill(store, 4)
    for key in keys[:3]:
        admit(store, key)
        send(store, key)
    store.accounts.pause(ACCOUNT, "no credit", MINUTE)
    clock.advance(MINUTE)
    assert (admit(store, "k-3").held_reason or "").startswith("tokens: ")
    assert store.accounts.all_paused() == {}


def test_requests_that_are_asked_one_by_one_take_no_room(store: Store) -> None:
    keys = fill(store, 4)
    put(store, planned("sync", bytes=100 * BYTES, mode="sync"))
    walk(store, "sync", Event.ASK)
    assert [admit(store, key).is_admitted for key in keys] == [True, True, True, False]
