import base64
import json
import logging
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry import REDACTED, Action, Secrets, log, say

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_line_has_a_time_a_level_an_action_and_its_fields() -> None:
    line = say(Action.BATCH_ENDED, logging.INFO, {"batch": "k-0", "seconds": 1.5, "error": None, "at": NOON}, NOON)
    assert line == "2026-01-01T12:00:00.123Z info batch.ended batch=k-0 seconds=1.5 at=2026-01-01T12:00:00Z"


def test_whoever_else_formats_a_line_has_its_action_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    """A job of the user's own has a log of the user's own."""
    with caplog.at_level(logging.INFO, "batchline"):
        log(Action.BATCH_ENDED, batch="k-0", message="100 %s", error=None)
    assert caplog.messages == ['batch.ended batch=k-0 message="100 %s"']


@given(st.text())
def test_whatever_a_field_holds_a_line_is_one_line(text: str) -> None:
    line = say(Action.BATCH_FAULT, logging.WARNING, {"message": text, "after": 1}, NOON)
    assert len(line.splitlines()) == 1
    assert line.endswith(" after=1")


def test_the_value_of_a_named_variable_never_appears() -> None:
    environ = {"OPENAI_API_KEY": "sk-very-secret", "OTHER": "plain-text"}
    secrets = Secrets(environ)
    fields = {"message": "Incorrect API key provided: sk-very-secret", "other": "plain-text"}
    assert "sk-very-secret" in say(Action.BATCH_FAULT, logging.ERROR, fields, NOON, secrets)
    secrets.name("OPENAI_API_KEY")
    line = say(Action.BATCH_FAULT, logging.ERROR, fields, NOON, secrets)
    assert REDACTED in line
    assert "secret" not in line
    assert "plain-text" in line
    environ["OPENAI_API_KEY"] = "sk-rotated"
    assert "sk-rotated" not in secrets.redact("now sk-rotated")


@given(
    secret=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=8, max_size=60),
    before=st.binary(max_size=5),
)
def test_nor_does_it_in_another_form(secret: str, before: bytes) -> None:
    secrets = Secrets({"KEY": secret})
    secrets.name("KEY")
    whole = base64.b64encode(before + secret.encode() + b"!!!")
    for said in (quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], whole.decode()):
        assert secrets.redact(f"<{said}>") != f"<{said}>"


def test_a_secret_that_is_not_set_or_too_short_redacts_nothing() -> None:
    secrets = Secrets({"SHORT": "a"})
    secrets.name("SHORT")
    secrets.name("UNSET")
    assert secrets.redact("a banana") == "a banana"
