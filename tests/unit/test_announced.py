from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.register.announced import Skip, read_event
from shared.messages import BatchEvent

KEY = "a" * 26 + "-0"
SAID: dict[str, Any] = {
    "batch_key": KEY,
    "pipeline": "pipe",
    "statement": "sentiments",
    "provider": "openai",
    "account": "openai:OPENAI_API_KEY@api.openai.com",
    "model": "gpt-5-mini",
    "provider_batch_id": "batch_abc123",
    "generation": 0,
    "requests": 3,
    "records": 3,
    "bytes": 900,
    "spool": f"pipe/sentiments/batches/{KEY}",
    "sealed_at": datetime(2026, 1, 1, tzinfo=UTC),
    "submitted_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def read(**changes: Any) -> BatchEvent | Skip:
    return read_event(KEY.encode(), BatchEvent.model_validate({**SAID, **changes}).encode())


def test_an_event_of_ours_is_read_back() -> None:
    assert read() == BatchEvent.model_validate(SAID)


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline": ".."},
        {"pipeline": ".hidden"},
        {"statement": "a/b"},
        {"statement": ""},
        {"spool": f"pipe/sentiments/batches/../batches/{KEY}"},
        {"spool": f"/pipe/sentiments/batches/{KEY}"},
        {"spool": "http://evil.example/x"},
        {"batch_key": "../" + KEY},
        {"generation": 3},
        {"provider_batch_id": ""},
        {"provider_batch_id": "batch/../files"},
        {"provider_batch_id": "batch_1?x=2"},
        {"provider_batch_id": "batch_1\nX: y"},
        {"submitted_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - a naive time is the point
    ],
)
def test_an_event_that_could_lead_us_astray_is_foreign(changes: dict[str, Any]) -> None:
    assert read(**changes) is Skip.FOREIGN


@given(key=st.none() | st.binary(max_size=40), value=st.none() | st.binary(max_size=200))
def test_no_bytes_break_the_reader(key: bytes | None, value: bytes | None) -> None:
    assert isinstance(read_event(key, value), Skip)


def test_a_tombstone_is_told_from_nonsense() -> None:
    assert read_event(KEY.encode(), None) is Skip.TOMBSTONE
    assert read_event(KEY.encode(), b"{}") is Skip.MALFORMED


def test_what_a_later_version_adds_is_ignored() -> None:
    value = BatchEvent.model_validate(SAID).model_dump_json().replace('{"version":1', '{"new":[1],"version":1', 1)
    assert isinstance(read_event(KEY.encode(), value.encode()), BatchEvent)
