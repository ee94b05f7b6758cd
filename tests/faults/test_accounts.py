"""Row 11: a fault of the account pauses that account. No retry is spent, nothing comes out as an error, it resumes."""

from collections.abc import Callable
from typing import Any

import pytest

from deploy.sandbox.provider.server import ProviderServer
from poller.accounts import Keyless
from poller.alarms import Kind
from poller.health import Watchdog
from poller.watch.rescuer import Rescuer
from shared.lease import this_process
from shared.lifecycle import State
from shared.standing import REST
from tests.faults.road import MINUTE, RECORDS, MakeRoad, Road
from tests.rig.stage import ENVIRON
from tests.rig.waiting import wait_until

BATCHES = 3
SEALED = [
    ("bad_key", {"endpoint": "*.batches.create"}),
    ("spend_cap_429", {"endpoint": "*.batches.create"}),
]


def rescuer(road: Road) -> Rescuer:
    keyless = Keyless(Watchdog(road.stage.store, this_process()), road.stage.clock)
    return Rescuer(road.stage.store, road.stage.submission().work, road.stage.clock, keyless)


def states(road: Road, keys: list[str]) -> list[State]:
    return [road.stage.batch(key).state for key in keys]


def paused(road: Road, keys: list[str]) -> None:
    """All wait for one time, said first on the status, with the reason; the provider has nothing."""
    status = road.status()
    (account,) = status.accounts
    batches = [road.stage.batch(key) for key in keys]
    assert {(batch.state, batch.held_reason, batch.held_until) for batch in batches} == {
        (State.HELD, account.reason, account.until)
    }
    assert (account.held_batches, account.held_records) == (len(keys), len(keys) * RECORDS)
    assert status.attention[0].kind is Kind.ACCOUNT_PAUSED
    assert account.reason.startswith("account: ")
    assert account.until <= road.stage.clock() + REST


def asked(road: Road) -> int:
    """How many calls the fault has struck."""
    return sum(rule["struck"] for rule in road.server.faults())


def creates(road: Road, keys: list[str]) -> int:
    """How many batches the provider has accepted for these."""
    accepted = road.server.witness().custom_ids()
    return sum(accepted[f"{key}-0"] for key in keys)


def all_out(road: Road, keys: list[str], work: Callable[[], Any]) -> None:
    def are_submitted() -> bool:
        work()
        return all(state not in (State.SEALED, State.HELD) for state in states(road, keys))

    wait_until(are_submitted, 30, lambda: f"all to be submitted: {states(road, keys)}")
    family = [batch for key in keys for batch in road.back.finish(key)]
    assert sum(batch.failed for batch in family) == 0
    assert {batch.retries for batch in family} == {0}
    assert len(road.outputs(BATCHES * RECORDS)) == BATCHES * RECORDS
    assert set(road.billed(BATCHES * RECORDS).values()) == {1}


@pytest.mark.parametrize(("fault", "options"), SEALED, ids=[fault for fault, _ in SEALED])
def test_row_11_one_batch_asks_again_and_the_others_wait(road: Road, fault: str, options: dict[str, Any]) -> None:
    keys = [road.stage.plan(RECORDS) for _ in range(BATCHES)]
    road.fault(fault, times=None, **options)
    duty = rescuer(road)
    duty.run_once()
    paused(road, keys)
    for _ in range(2):
        road.stage.ahead += REST
        before = asked(road)
        duty.run_once()
        duty.run_once()
        assert asked(road) == before + 1
        paused(road, keys)
    road.server.clear_faults()
    road.stage.ahead += REST
    all_out(road, keys, duty.run_once)
    assert road.status().accounts == []


def test_row_11_the_file_quota_is_full(openai: Road) -> None:
    keys = [openai.stage.plan(RECORDS) for _ in range(BATCHES)]
    openai.fault("file_quota_full", times=None)
    duty = rescuer(openai)
    duty.run_once()
    paused(openai, keys)
    assert creates(openai, keys) == 0
    openai.server.clear_faults()
    openai.stage.ahead += REST
    all_out(openai, keys, duty.run_once)


def test_row_11_credit_is_used_up_in_mid_batch(road: Road) -> None:
    """What ran is published; the rest is carried without a retry, and waits: its create alone would prove nothing."""
    road.fault("credit_exhausted_mid_batch", done=0.5)
    first = road.stage.submit(RECORDS)
    others = [road.stage.plan(RECORDS) for _ in range(BATCHES - 1)]
    road.back.collect(first)
    (child,) = road.back.children(first)
    assert (child.records, child.retries) == (RECORDS // 2, 0)
    duty = rescuer(road)
    duty.run_once()
    assert states(road, [child.batch_key, *others]) == [State.HELD] * BATCHES
    assert road.status().accounts[0].held_batches == BATCHES
    road.stage.ahead += REST
    duty.run_once()
    asking = [key for key in [child.batch_key, *others] if road.stage.batch(key).state is not State.HELD]
    assert len(asking) == 1, "one asks, and the others wait for its results"
    assert road.status().accounts[0].asking == asking[0]
    road.back.collect(asking[0])
    assert road.status().accounts == []
    all_out(road, [first, *others], duty.run_once)


def test_row_11_thousands_of_lines_without_credit_spend_no_retry(
    make_road: MakeRoad, server: ProviderServer, provider: str
) -> None:
    """However long it lasts: a batch of which nothing ran is sent again as it is."""
    records, lacks = 3_000, 3
    road = make_road(server, provider)
    road.fault("credit_exhausted_mid_batch", times=lacks, done=0.0)
    key = road.stage.submit(records)
    for _ in range(lacks):
        road.stage.watch_until(key, State.ENDED)
        assert road.back.collector().run_once() == {"bounced": 1}
        held = road.stage.batch(key)
        assert (held.state, held.failed, held.carried) == (State.HELD, 0, 0)
        road.stage.ahead += REST + MINUTE
        road.stage.submission().work(key)
    (batch,) = road.back.finish(key)
    assert (batch.generation, batch.retries, batch.succeeded, batch.failed) == (0, 0, records, 0)


def test_row_11_a_key_that_one_process_lacks_is_no_fault_of_the_account(road: Road) -> None:
    """Who has it goes on at once; who lacks it says so, and asks for nothing of that account any more."""
    key = road.stage.plan(RECORDS)
    road.stage.environ = {}
    without = rescuer(road)
    assert without.run_once() == {"waiting": 1}
    held = road.stage.batch(key)
    assert held.state is State.HELD
    assert (held.held_reason or "").startswith("credential: the environment variable ")
    assert without.run_once() == {}
    status = road.status()
    assert status.accounts == []
    assert [word.dependency for word in status.dependencies] == [f"key of {held.account}"]
    road.stage.environ = dict(ENVIRON)
    rescuer(road).run_once()
    (batch,) = road.back.finish(key)
    road.check([batch])


def test_row_11_a_bad_key_while_batches_run_delays_them_and_no_more(road: Road) -> None:
    key = road.stage.submit(RECORDS)
    road.fault("bad_key", times=None)
    watcher = road.stage.watcher()
    assert watcher.run_once() == {"waiting": 1}
    assert road.stage.batch(key).next_check_at == road.status().accounts[0].until
    assert "key-of-" not in road.status().model_dump_json()
    road.server.clear_faults()
    road.stage.ahead += REST
    road.stage.watch_until(key, State.ENDED, watcher=watcher)
    road.check(road.back.finish(key))
    assert road.status().healthy
