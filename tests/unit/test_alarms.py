from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from poller.alarms import Alarm, Kind, alarms
from shared.lifecycle import State
from shared.recovery import DECIDE
from shared.standing import Standing
from shared.store import Batch
from shared.store.health import Away

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "a" * 26 + "-0"


def batch(state: State, **changes: Any) -> Batch:
    values: dict[str, Any] = {
        "batch_key": KEY,
        "pipeline": "pipe",
        "statement": "sentiments",
        "provider": "openai",
        "account": "account",
        "model": "gpt-5-mini",
        "definition": "0" * 16,
        "generation": 0,
        "parent": None,
        "requests": 3,
        "records": 3,
        "bytes": 900,
        "sealed_at": NOON - HOUR / 60,
        "sealed_file": None,
        "updated_at": NOON,
        "state": state,
    }
    return Batch(**{**values, **changes})


def kinds(found: list[Alarm]) -> list[Kind]:
    return [alarm.kind for alarm in found]


@pytest.mark.parametrize("state", [state for state in State if state is not State.LOST])
def test_a_batch_on_its_way_is_no_alarm(state: State) -> None:
    assert alarms([batch(state)], {}, [], NOON) == []


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (batch(State.HELD, sealed_at=NOON - 7 * HOUR, held_reason="enqueued limit"), Kind.HELD_LONG),
        (batch(State.HELD, held_reason="too-large: it needs about 300 tokens"), Kind.TOO_LARGE),
        (batch(State.AMBIGUOUS, sealed_at=NOON - HOUR), Kind.CREATE_UNKNOWN),
        (batch(State.LOST), Kind.LOST),
        (batch(State.SUBMITTED, missing_since=NOON - HOUR), Kind.MISSING),
        (batch(State.RUNNING, remote_status="finalizing", remote_since=NOON - 3 * HOUR), Kind.OVERDUE),
        (batch(State.RUNNING, error="unknown status 'paused'"), Kind.UNREADABLE),
        (batch(State.SEALED, error="disk", next_check_at=NOON), Kind.UNREADABLE),
        (
            batch(
                State.HELD, sealed_at=NOON - 7 * HOUR, held_reason="tokens: 9 of 9", error="disk", next_check_at=NOON
            ),
            Kind.UNREADABLE,
        ),
        (batch(State.HELD, held_reason=f"{DECIDE}: it did not show", error="no", next_check_at=NOON), Kind.DECISION),
        (batch(State.ENDED, results_expire_at=NOON + timedelta(days=4)), Kind.RESULTS_EXPIRING),
        (batch(State.PUBLISHED, unknown_lines=2), Kind.UNEXPECTED_RESULTS),
        (batch(State.HELD, deadline_at=NOON), Kind.PAST_DEADLINE),
        (batch(State.RUNNING, mode="sync", deadline_at=NOON), Kind.PAST_DEADLINE),
        (batch(State.PUBLISHED, mode="sync", unknown_calls=2), Kind.CALLS_UNKNOWN),
    ],
)
def test_what_needs_attention_is_told(found: Batch, kind: Kind) -> None:
    assert kinds(alarms([found], {}, [], NOON)) == [kind]


def test_a_working_batch_has_its_own_expiry_as_deadline() -> None:
    working = batch(
        State.RUNNING, remote_status="in_progress", remote_since=NOON - 20 * HOUR, expires_at=NOON - 2 * HOUR
    )
    assert kinds(alarms([working], {}, [], NOON)) == [Kind.OVERDUE]
    assert alarms([working], {}, [], NOON - 3 * HOUR) == []


def test_a_deadline_is_no_alarm_before_it_is_over_or_after_all_is_out() -> None:
    assert alarms([batch(State.RUNNING, deadline_at=NOON + HOUR / 60)], {}, [], NOON) == []
    assert alarms([batch(State.PUBLISHED, deadline_at=NOON - HOUR)], {}, [], NOON) == []


def test_a_create_in_doubt_past_its_deadline_says_why_nothing_is_asked() -> None:
    (alarm,) = alarms([batch(State.AMBIGUOUS, deadline_at=NOON)], {}, [], NOON)
    assert "nothing of it is asked again" in alarm.message


def test_a_rejected_batch_that_waits_for_its_collector_is_no_alarm() -> None:
    assert alarms([batch(State.ENDED, error="invalid_request: line 3")], {}, [], NOON) == []


def test_an_old_oddity_is_forgotten() -> None:
    old = batch(State.PUBLISHED, duplicate_lines=1, updated_at=NOON - 25 * HOUR)
    assert alarms([old], {}, [], NOON) == []


def test_paused_accounts_and_absent_dependencies_come_first() -> None:
    away = Away("kafka", "host:1:x", NOON - HOUR, NOON, NOON, "no answer")
    pauses = {"account": Standing("bad key", NOON + HOUR)}
    found = alarms([batch(State.LOST)], pauses, [away], NOON)
    assert kinds(found) == [Kind.ACCOUNT_PAUSED, Kind.DEPENDENCY_AWAY, Kind.LOST]
    assert "13:00" in found[0].message


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing("no credit", NOON + HOUR), "one batch asks again at 2026-01-01 13:00"),
        (Standing("no credit", NOON + HOUR, probe="k-0"), "batch k-0 asks"),
        (Standing("no credit", NOON + HOUR, probe="k-0", is_proving=True), "k-0 was taken; the others follow"),
    ],
)
def test_who_asks_again_for_a_paused_account_is_told(standing: Standing, said: str) -> None:
    (alarm,) = alarms([], {"account": standing}, [], NOON)
    assert said in alarm.message
