"""What a failed synchronous call did."""

from datetime import timedelta
from pathlib import Path

import pytest

from poller.ask.calls import Effect, RequestLines, effect
from shared.errors import (
    AccountFault,
    EnqueuedLimit,
    MissingCredential,
    NotFound,
    NotSent,
    Rejected,
    SpoolAway,
    Throttled,
    Unknown,
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Rejected("400", status=400), Effect.REFUSED),
        (NotFound("no such model", status=404, code="model_not_found"), Effect.REFUSED),
        (NotFound("<html>", status=404), Effect.FAILED),
        (Throttled("429", retry_after=timedelta(seconds=1)), Effect.THROTTLED),
        (EnqueuedLimit("tokens in the queue"), Effect.THROTTLED),
        (NotSent("no connection"), Effect.NOT_SENT),
        (Unknown("500", status=500), Effect.FAILED),
        (Unknown("529", status=529), Effect.FAILED),
        (Unknown("its queue is full", status=503), Effect.THROTTLED),
        (Unknown("500", status=500, retry_after=timedelta(0)), Effect.THROTTLED),
        (Unknown("bad gateway", status=502), Effect.UNKNOWN),
        (Unknown("gateway timeout", status=504), Effect.UNKNOWN),
        (Unknown("gateway timeout", status=504, retry_after=timedelta(seconds=1)), Effect.UNKNOWN),
        (Unknown("request timeout", status=408), Effect.UNKNOWN),
        (Unknown("no answer: ReadTimeout"), Effect.UNKNOWN),
        (AccountFault("bad key"), Effect.ACCOUNT),
        (MissingCredential("unset", "account"), Effect.OURS),
        (SpoolAway("gone"), Effect.OURS),
        (ValueError("a fault of ours"), Effect.OURS),
    ],
)
def test_each_failure_has_one_verdict(error: Exception, expected: Effect) -> None:
    assert effect(error) is expected


def test_lines_are_found_by_number(tmp_path: Path) -> None:
    lines = ['{"a": 1}\n', '{"b": "\u2028"}\n', '{"c": 3}\n']
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    with RequestLines(path) as found:
        assert [found.line(number).decode() for number in (2, 0, 1)] == [lines[2], lines[0], lines[1]]
        assert [found.size(number) for number in range(3)] == [len(line.encode()) for line in lines]
