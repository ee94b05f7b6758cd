"""The status on both databases: what scripts read, and what people see."""

import io
import json
from datetime import timedelta

from rich.console import Console

from poller.operate.status import Report, report
from poller.operate.table import draw
from shared.lifecycle import Event, State
from shared.store import Store
from shared.store.budgets import PIPELINE, Limit
from tests.rig.stores import NOON, SetClock, plan, planned, put, walk

HOUR = timedelta(hours=1)
TO_RUNNING = (Event.INTEND, Event.ACCEPT, Event.PROGRESS)


def drawn(shown: Report) -> str:
    out = io.StringIO()
    draw(shown, Console(file=out, width=200, color_system=None))
    return out.getvalue()


def fill(store: Store) -> None:
    """One batch out, one running, one held."""
    put(
        store,
        planned("done-0"),
        planned("running-0"),
        planned("held-0", sealed_at=NOON + HOUR, estimated_cost_usd=1.25),
    )
    walk(store, "done-0", *TO_RUNNING, Event.END)
    store.batches.collect("done-0", cost_usd=1.0, sync_cost_usd=2.0)
    store.batches.apply("done-0", Event.PUBLISH, succeeded=9, failed=1)
    walk(store, "running-0", *TO_RUNNING)
    store.batches.apply("held-0", Event.HOLD, held_reason="tokens: [2,000] of 90,000", held_until=NOON + 3 * HOUR)


def test_what_a_provider_says_does_not_speak_to_the_terminal(store: Store) -> None:
    put(store, planned("held-0"))
    hostile = "[bold]no[/bold] \x1b]0;title\x07 \x1b[2J \u202edetrevni\n[/]"
    store.batches.apply("held-0", Event.HOLD, held_reason=hostile)
    shown = drawn(report(store, lambda: NOON))
    assert "[bold]no[/bold]" in shown
    assert not {"\x1b", "\x07", "\u202e"}.intersection(shown)


def test_an_empty_store_is_healthy(store: Store, clock: SetClock) -> None:
    shown = report(store, clock)
    assert shown.healthy
    assert "No batches yet" in drawn(shown)


def test_the_json_is_stable_and_what_is_held_comes_first(store: Store, clock: SetClock) -> None:
    fill(store)
    told = json.loads(report(store, clock).model_dump_json())
    assert told["schema_version"] == 1
    assert told["at"] == "2026-03-01T12:00:00Z"
    assert [(row["batch_key"], row["state"]) for row in told["batches"]] == [
        ("held-0", "held"),
        ("running-0", "running"),
    ]
    assert told["batches"][0]["held_until"] == "2026-03-01T15:00:00Z"
    assert told["batches_left_off"] == 0
    (pipeline,) = told["pipelines"]
    assert (pipeline["records"], pipeline["succeeded"], pipeline["failed"], pipeline["in_flight"]) == (30, 9, 1, 20)
    assert (pipeline["cost_usd"], pipeline["sync_cost_usd"], pipeline["saved_usd"]) == (1.0, 2.0, 1.0)


def test_people_see_reason_next_try_cost_and_states(store: Store, clock: SetClock) -> None:
    fill(store)
    text = drawn(report(store, clock))
    for said in (
        "held-0",
        "tokens: [2,000] of 90,000",
        "03-01 15:00:00",
        "$2.00",
        "~$1.25",
        "1 held, 1 running, 1 published",
    ):
        assert " ".join(said.split()) in " ".join(text.split()), said
    assert text.index("held-0") < text.index("running-0")


def test_rows_that_came_again_and_were_not_paid_for_again_are_counted(store: Store, clock: SetClock) -> None:
    store.lineage.claim_name("pipe", "file.sql")
    store.plans.commit(plan("a file", skipped=4321))
    shown = report(store, clock)
    assert shown.pipelines[0]["skipped_as_paid"] == 4321
    assert "4,321" in drawn(shown)


def test_a_dependency_is_away_until_its_word_is_old(store: Store, clock: SetClock) -> None:
    store.health.away("kafka broker:9092", "host:1:x", "no answer", NOON + timedelta(seconds=30))
    shown = report(store, clock)
    assert not shown.healthy
    assert [word.dependency for word in shown.dependencies] == ["kafka broker:9092"]
    assert "kafka broker:9092" in drawn(shown)
    clock.advance(timedelta(minutes=6))
    assert report(store, clock).healthy


def test_a_paused_account_is_shown_until_it_resumes(store: Store, clock: SetClock) -> None:
    fill(store)
    store.health.away("kafka broker:9092", "host:1:x", "no answer", NOON + HOUR)
    store.accounts.pause("openai:KEY@api", "no credit", HOUR)
    shown = report(store, clock)
    (account,) = shown.accounts
    assert (account.account, account.reason, account.until) == ("openai:KEY@api", "account: no credit", NOON + HOUR)
    assert (account.held_batches, account.held_records) == (1, 10)
    assert not shown.healthy
    assert shown.attention[0].kind == "account-paused"
    told = list(json.loads(shown.model_dump_json()))
    assert told.index("accounts") < told.index("attention") < told.index("batches")
    text = drawn(shown)
    assert text.index("Paused accounts") < text.index("Attention") < text.index("Unfinished batches")
    clock.advance(2 * HOUR)
    store.health.back("kafka broker:9092", "host:1:x")
    assert report(store, clock).healthy


def test_a_paused_account_comes_before_a_day_that_is_spent(store: Store, clock: SetClock) -> None:
    put(store, planned("poor-0"))
    store.budgets.state("pipe", [Limit(PIPELINE, None, 5.0)])
    store.batches.apply("poor-0", Event.HOLD, held_reason="budget: it waits", held_until=NOON + 12 * HOUR)
    store.accounts.pause("openai:KEY@api", "no credit", HOUR)
    shown = report(store, clock)
    assert [alarm.kind for alarm in shown.attention] == ["account-paused", "budget"]
    told = list(json.loads(shown.model_dump_json()))
    assert told.index("accounts") < told.index("budgets") < told.index("attention")
    text = drawn(shown)
    assert text.index("Paused accounts") < text.index("Budgets") < text.index("Attention")


def test_odd_results_are_shown_for_a_day(store: Store, clock: SetClock) -> None:
    fill(store)
    store.batches.record("done-0", duplicate_lines=2)
    (alarm,) = report(store, clock).attention
    assert (alarm.kind, alarm.subject) == ("unexpected-results", "done-0")
    clock.advance(timedelta(hours=25))
    assert "done-0" not in {alarm.subject for alarm in report(store, clock).attention}
    assert store.batches.rows([State.PUBLISHED])[0].duplicate_lines == 2


def test_what_was_odd_about_results_is_shown_where_there_is_something(store: Store, clock: SetClock) -> None:
    fill(store)
    assert "Odd results" not in drawn(report(store, clock))
    store.batches.record("done-0", forgiven_answers=1234, unknown_entries=7)
    shown = report(store, clock)
    told = json.loads(shown.model_dump_json())
    assert (told["pipelines"][0]["forgiven_answers"], told["pipelines"][0]["unknown_entries"]) == (1234, 7)
    heading, row = _section(drawn(shown), "Odd results")
    assert [part.strip() for part in heading.split("  ") if part.strip()] == [
        "pipeline",
        "forgiven answers",
        "unknown entries",
    ]
    assert row.split() == ["pipe", "1,234", "7"]
    clock.advance(timedelta(days=30))
    assert "1,234" in drawn(report(store, clock))


def test_batches_that_wait_tell_what_was_odd_about_them(store: Store, clock: SetClock) -> None:
    fill(store)
    store.batches.record("running-0", forgiven_answers=5)
    told = json.loads(report(store, clock).model_dump_json())
    assert {row["batch_key"]: row["forgiven_answers"] for row in told["batches"]} == {"held-0": 0, "running-0": 5}


def _section(text: str, title: str) -> tuple[str, str]:
    """The headings of a table and its only row."""
    lines = [line for line in text[text.index(title) :].splitlines() if line.strip()]
    return lines[1], lines[3]
