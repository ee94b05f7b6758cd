"""However many events are passed over, the log is not filled by them."""

import logging

import pytest

from poller.register.announced import Skip
from poller.register.skips import Skips


def test_each_reason_is_told_at_once_then_once_a_minute_with_how_many(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    skips = Skips(lambda: now)
    with caplog.at_level(logging.INFO, "batchline"):
        for second in range(130):
            now = float(second)
            for number in range(10):
                skips.note(Skip.MALFORMED, f"batches/0/{second}{number}")
            skips.note(Skip.TOMBSTONE, "batches/0/1")
            skips.tell()
        skips.note(Skip.BREAKING, "batches/0/7", "ValueError: a bug")
        skips.tell()
    told = [(each.levelname, getattr(each, "fields", {})) for each in caplog.records]
    assert [(level, said["why"], said["events"]) for level, said in told] == [
        ("WARNING", Skip.MALFORMED, 10),
        ("WARNING", Skip.MALFORMED, 600),
        ("WARNING", Skip.MALFORMED, 600),
        ("ERROR", Skip.BREAKING, None),
    ]
    assert told[-1][1]["message"] == "ValueError: a bug"
