from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from shared.errors import StaleState
from shared.lifecycle import Event, State
from shared.standing import Standing
from shared.store import Store
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, intend, planned, put, walk

ACCOUNT = "openai:KEY@api"


def held(store: Store, *keys: str) -> None:
    """Batches that are held for their account's sake."""
    put(store, *(planned(key) for key in keys))
    for key in keys:
        paused = store.accounts.ask(ACCOUNT, key)
        assert paused is not None
        store.batches.apply(key, Event.HOLD, held_reason=paused.reason, held_until=paused.until)


def due(store: Store, clock: SetClock) -> list[str]:
    return [batch.batch_key for batch in store.batches.due([State.HELD], clock.now, 9)]


def test_after_a_pause_one_batch_asks_and_what_is_accepted_lets_all_go_at_once(store: Store, clock: SetClock) -> None:
    store.accounts.pause(ACCOUNT, "bad key", MINUTE)
    held(store, "k-0", "k-1", "k-2")
    assert store.accounts.ask("another", "k-9") is None
    assert store.accounts.all_paused() == {ACCOUNT: Standing("account: bad key", NOON + MINUTE, MINUTE)}
    clock.advance(MINUTE)
    assert store.accounts.all_paused() == {}
    assert store.accounts.ask(ACCOUNT, "k-1") is None
    other = store.accounts.ask(ACCOUNT, "k-0")
    assert other == Standing("account: bad key", NOON + 2 * MINUTE, MINUTE, probe="k-1")
    assert store.accounts.ask(ACCOUNT, "k-1") is None, "it asks still"
    store.batches.apply("k-0", Event.HOLD, held_reason=other.reason, held_until=other.until)
    store.batches.apply("k-2", Event.HOLD, held_reason="throttled: 429", held_until=other.until)
    attempt = intend(store, "k-1")
    store.attempts.resolve("k-1", attempt.attempt, None, Event.ACCEPT, provider_batch_id="b")
    assert store.accounts.all_paused() == {}
    assert due(store, clock) == ["k-0"], "one that is held for another reason keeps its time"
    assert store.accounts.ask(ACCOUNT, "k-0") is None


def test_those_who_find_the_same_fault_agree_when_to_ask_again(store: Store, clock: SetClock) -> None:
    first = store.accounts.pause(ACCOUNT, "bad key", MINUTE)
    clock.advance(MINUTE / 2)
    assert store.accounts.pause(ACCOUNT, "bad key", MINUTE) == first
    assert store.accounts.pause(ACCOUNT, "no credit", MINUTE, by_results=True).needs_results
    clock.advance(MINUTE / 2)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    others = store.accounts.ask(ACCOUNT, "k-1")
    assert others is not None
    clock.advance(MINUTE / 60)
    assert store.accounts.pause(ACCOUNT, "bad key", MINUTE) == replace(others, probe=None), "they know when"
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-1") is None
    clock.advance(MINUTE * 0.9)
    assert store.accounts.pause(ACCOUNT, "bad key", MINUTE).until == clock.now + MINUTE, "it took long to be refused"


def test_one_of_many_asks(stores: list[Store], clock: SetClock) -> None:
    stores[0].accounts.pause(ACCOUNT, "no credit", MINUTE)
    clock.advance(MINUTE)
    answers = at_once([partial(each.accounts.ask, ACCOUNT, f"k-{n}") for n, each in enumerate(stores)])
    assert sum(answer is None for answer in answers) == 1


def test_a_batch_that_asks_and_is_held_for_another_reason_leaves_it_to_the_next(store: Store, clock: SetClock) -> None:
    store.accounts.pause(ACCOUNT, "bad key", MINUTE)
    held(store, "k-0", "k-1")
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    store.batches.apply("k-0", Event.HOLD, held_reason="throttled: 429", held_until=clock.now + MINUTE / 2)
    assert store.accounts.ask(ACCOUNT, "k-1") == Standing("account: bad key", clock.now + MINUTE / 2, MINUTE)
    clock.advance(MINUTE / 2)
    assert store.accounts.ask(ACCOUNT, "k-1") is None


def test_a_batch_that_asks_and_is_held_for_hours_keeps_the_others_waiting_for_one_rest(
    store: Store, clock: SetClock
) -> None:
    store.accounts.pause(ACCOUNT, "no credit", MINUTE, by_results=True)
    held(store, "k-0", "k-1")
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    store.batches.apply("k-0", Event.HOLD, held_reason="too-large: no", held_until=clock.now + 360 * MINUTE)
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-1") is None


def test_one_that_asks_again_and_again_and_is_never_sent_is_followed_by_another(store: Store, clock: SetClock) -> None:
    store.accounts.pause(ACCOUNT, "bad key", MINUTE)
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    clock.advance(MINUTE / 2)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    clock.advance(MINUTE / 2)
    assert store.accounts.ask(ACCOUNT, "k-1") is None


def test_one_that_asked_and_died_is_followed_by_another(store: Store, clock: SetClock) -> None:
    store.accounts.pause(ACCOUNT, "bad key", MINUTE)
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-1") is None
    assert store.accounts.ask(ACCOUNT, "k-0") is not None


def test_want_of_credit_is_mended_when_results_say_so_and_not_by_a_create(store: Store, clock: SetClock) -> None:
    store.accounts.pause(ACCOUNT, "no credit", MINUTE, by_results=True)
    held(store, "k-0", "k-1")
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    attempt = intend(store, "k-0")
    store.attempts.resolve("k-0", attempt.attempt, None, Event.ACCEPT, provider_batch_id="b")
    proving = store.accounts.ask(ACCOUNT, "k-1")
    assert proving is not None
    assert proving.is_proving
    store.batches.apply("k-1", Event.HOLD, held_reason=proving.reason, held_until=proving.until)
    walk(store, "k-0", Event.END)
    assert due(store, clock) == []
    store.batches.collect("k-0")
    assert due(store, clock) == ["k-1"]
    assert store.accounts.ask(ACCOUNT, "k-1") is None


def test_results_that_take_long_do_not_keep_the_others_waiting(store: Store, clock: SetClock) -> None:
    store.accounts.pause(ACCOUNT, "no credit", MINUTE, by_results=True)
    held(store, "k-0", "k-1", "k-2")
    clock.advance(MINUTE)
    assert store.accounts.ask(ACCOUNT, "k-0") is None
    attempt = intend(store, "k-0")
    store.attempts.resolve("k-0", attempt.attempt, None, Event.ACCEPT, provider_batch_id="b")
    clock.advance(2 * MINUTE)
    assert [store.accounts.ask(ACCOUNT, key) for key in ("k-1", "k-2")] == [None, None]


def test_a_shard_is_kept_for_good(stores: list[Store]) -> None:
    keys = [f"k-{n}" for n in range(40)]
    put(stores[0], *(planned(key) for key in keys))
    first = [stores[0].shards.assign(key, "cluster", 4) for key in keys]
    assert set(first) == {0, 1, 2, 3}
    assert [stores[1].shards.assign(key, "other", 64) for key in keys] == first
    batch = stores[0].batches.get("k-0")
    assert batch
    assert (batch.sink_cluster, batch.shard) == ("cluster", first[0])
    with pytest.raises(StaleState):
        stores[0].shards.assign("k-99", "cluster", 4)


def test_several_who_assign_at_once_agree(stores: list[Store]) -> None:
    for round_ in range(5):
        key = f"k-{round_}"
        put(stores[0], planned(key))
        calls = [partial(each.shards.assign, key, f"cluster-{n}", n + 1) for n, each in enumerate(stores)]
        assert len(set(at_once(calls))) == 1


def test_the_shards_that_wait_are_those_with_something_to_publish(store: Store) -> None:
    put(store, planned("k-0"), planned("k-1"))
    shard = store.shards.assign("k-0", "cluster", 4)
    assert store.shards.waiting() == []
    walk(store, "k-0", Event.NOTHING_TO_SEND)
    walk(store, "k-1", Event.NOTHING_TO_SEND)
    assert store.shards.waiting() == [("cluster", shard)]


def test_an_installation_keeps_its_id(stores: list[Store]) -> None:
    ids = {store.shards.installation_id() for store in stores}
    assert len(ids) == 1
    assert len(ids.pop()) == 32


def test_what_is_away_is_said_until_it_is_back(store: Store, clock: SetClock) -> None:
    store.health.away("kafka:b", "one", "no broker answers", NOON + MINUTE)
    later = clock.advance(MINUTE)
    store.health.away("kafka:b", "one", "still none")
    store.health.away("spool", "two", "no space left")
    said = store.health.all(NOON)
    assert [(away.dependency, away.holder, away.away_since, away.message) for away in said] == [
        ("kafka:b", "one", NOON, "still none"),
        ("spool", "two", later, "no space left"),
    ]
    store.health.back("kafka:b", "one")
    store.health.only("two", ["kafka:b"])
    assert store.health.all(NOON - timedelta(days=1)) == []
