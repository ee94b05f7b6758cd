from datetime import timedelta
from functools import partial

import pytest

from shared.errors import StaleState
from shared.lifecycle import Event
from shared.store import Pause, Store
from tests.rig.stores import MINUTE, NOON, SetClock, at_once, planned, put, walk


def test_a_pause_ends_by_its_time_or_by_a_resume(store: Store, clock: SetClock) -> None:
    store.accounts.pause("a", "rate limited", NOON + MINUTE)
    store.accounts.pause("b", "bad key", None)
    assert store.accounts.paused("a") == Pause("rate limited", NOON + MINUTE)
    clock.advance(MINUTE)
    assert store.accounts.all_paused() == {"b": Pause("bad key", None)}
    store.accounts.resume("b")
    assert store.accounts.paused("b") is None
    store.accounts.pause("b", "no credit", None)
    assert store.accounts.paused("b") == Pause("no credit", None)


def test_limits_are_learned_by_several_at_once(stores: list[Store]) -> None:
    stores[0].accounts.pause("a", "full", None)
    at_once([partial(each.accounts.learn, "a", f"limit-{n}", n) for n, each in enumerate(stores)])
    assert stores[0].accounts.limits("a") == {f"limit-{n}": n for n in range(len(stores))}
    stores[0].accounts.learn("a", "limit-0", 99)
    assert stores[0].accounts.limits("a")["limit-0"] == 99
    assert stores[0].accounts.limits("b") == {}
    assert stores[0].accounts.paused("a") == Pause("full", None)


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
