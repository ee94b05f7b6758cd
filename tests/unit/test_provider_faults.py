"""One verdict for each failure of a call, and one for each failure of a whole batch."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from poller.watch.verdict import Failure, failure
from shared.errors import (
    AccountFault,
    EnqueuedLimit,
    NotFound,
    NotSent,
    ProviderError,
    Rejected,
    SettingsError,
    Throttled,
    Unknown,
)
from shared.providers.faults import judged, refusal, retry_after, verdict
from shared.providers.port import LineError
from shared.providers.prices import cost
from shared.providers.profiles import profile_of

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/batches")
QUEUE = "Enqueued token limit reached for gpt-5-mini in organization org-x. Limit: 90,000 enqueued tokens. Try again."


@pytest.mark.parametrize(
    ("status", "code", "kind", "message", "expected"),
    [
        (400, None, "invalid_request_error", "bad", Rejected),
        (413, None, "request_too_large", "big", Rejected),
        (422, None, None, "bad", Rejected),
        (401, "invalid_api_key", None, "Incorrect API key", AccountFault),
        (402, None, "billing_error", "no credit", AccountFault),
        (403, None, "permission_error", "no", AccountFault),
        (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota", AccountFault),
        (429, None, "rate_limit_error", "You have reached your specified API usage limits.", AccountFault),
        (429, "billing_hard_limit_reached", None, "Billing hard limit has been reached", AccountFault),
        (400, None, "invalid_request_error", "Your credit balance is too low to access the API.", AccountFault),
        (400, None, "invalid_request_error", "Your organization exceeded its storage limit of 100 GB.", AccountFault),
        (429, "rate_limit_exceeded", "requests", "Rate limit reached for requests.", Throttled),
        (529, None, "overloaded_error", "Overloaded", Throttled),
        (429, "token_limit_exceeded", None, QUEUE, EnqueuedLimit),
        (429, None, "rate_limit_error", "Too many batch requests in the processing queue.", EnqueuedLimit),
        (404, None, None, "No such batch", NotFound),
        (400, None, "invalid_request_error", "No such File object: file-1", NotFound),
        (400, None, "invalid_request_error", "Cannot find file file-1, or p does not have access to it.", NotFound),
        (408, None, None, "timeout", Unknown),
        (409, None, None, "conflict", Unknown),
        (500, None, "server_error", "oops", Unknown),
        (503, None, None, "busy", Unknown),
        (504, None, "timeout_error", "late", Unknown),
    ],
)
def test_each_refusal_has_its_verdict(
    status: int, code: str | None, kind: str | None, message: str, expected: type[ProviderError]
) -> None:
    assert type(refusal(status, code, kind, message, {}, NOW)) is expected


def test_the_queues_limit_is_read_from_the_message() -> None:
    error = refusal(429, "token_limit_exceeded", None, QUEUE, {}, NOW)
    assert isinstance(error, EnqueuedLimit)
    assert error.limit == 90_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7200"}, 7200.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Mon, 01 Jun 2026 13:00:00 GMT"}, 3600.0),
        ({"retry-after": "Mon, 01 Jun 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "999999999"}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_the_wait_reaches_throttled_and_unknown() -> None:
    for status, kind in ((429, Throttled), (503, Unknown)):
        error = refusal(status, None, None, "later", {"retry-after": "30"}, NOW)
        assert isinstance(error, kind)
        assert error.retry_after == timedelta(seconds=30)


def connection(cause: Exception) -> Exception:
    """As the SDK raises it: its own exception from the transport's."""
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (connection(httpx2.ConnectError("refused")), NotSent),
        (connection(httpx2.ConnectTimeout("late")), NotSent),
        (connection(httpx2.ReadTimeout("late")), Unknown),
        (connection(httpx2.WriteTimeout("late")), Unknown),
        (connection(httpx2.ReadError("reset")), Unknown),
        (connection(httpx2.RemoteProtocolError("server disconnected")), Unknown),
        (httpx2.RemoteProtocolError("peer closed connection"), Unknown),
        (ValueError("no JSON"), Unknown),
        (AttributeError("'str' object has no attribute 'id'"), Unknown),
    ],
)
def test_each_exception_has_its_verdict(error: Exception, expected: type[ProviderError]) -> None:
    assert type(verdict(error, NOW)) is expected


def status_error(status: int, body: Any) -> openai.APIStatusError:
    response = httpx2.Response(status, request=REQUEST, json=body)
    return openai.APIStatusError("Error code", response=response, body=body)


def test_both_forms_of_an_error_body_are_understood() -> None:
    unwrapped = verdict(status_error(401, {"message": "no", "code": "invalid_api_key"}), NOW)
    wrapped = verdict(status_error(400, {"type": "error", "error": {"type": "billing_error", "message": "no"}}), NOW)
    detailed = verdict(
        status_error(429, {"error": {"type": "x", "message": "m", "details": {"error_code": "organization_on_hold"}}}),
        NOW,
    )
    assert [type(error) for error in (unwrapped, wrapped, detailed)] == [AccountFault] * 3
    assert (unwrapped.status, unwrapped.code) == (401, "invalid_api_key")


def test_no_key_stands_in_a_message() -> None:
    secret = "my-own-gateways-key"
    body = {"message": f"Incorrect API key provided: sk-abcd****wxyz, or {secret}", "code": "invalid_api_key"}
    text = str(verdict(status_error(401, body), NOW, secret))
    assert "abcd" not in text
    assert secret not in text
    assert "Incorrect API key" in text


def test_an_error_of_the_local_disk_is_no_providers_error() -> None:
    with pytest.raises(FileNotFoundError, match="gone"), judged(lambda: NOW):
        raise FileNotFoundError("gone")
    with pytest.raises(NotFound, match="mine"), judged(lambda: NOW):
        raise NotFound("mine")


BAD = LineError("invalid_json_line", 3, "not JSON")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (
            (LineError("token_limit_exceeded", None, QUEUE),),
            Failure("queue full", f"token_limit_exceeded: {QUEUE}", 90_000),
        ),
        (
            (LineError("x", None, "The file file-1 was not found."),),
            Failure("transient", "x: The file file-1 was not found."),
        ),
        (
            (LineError("billing_hard_limit_reached", None, "Billing hard limit has been reached"),),
            Failure("account", "billing_hard_limit_reached: Billing hard limit has been reached"),
        ),
        ((BAD,), Failure("lines", "invalid_json_line: not JSON", lines=(BAD,))),
        ((LineError("invalid_request", None, "bad"),), Failure("unnamed", "invalid_request: bad")),
        ((LineError("model_not_found", 1, "no-such"),), Failure("whole", "model_not_found: no-such")),
        ((), Failure("unnamed", "the provider gave no reason")),
    ],
)
def test_a_failed_batch_is_classified(errors: tuple[LineError, ...], expected: Failure) -> None:
    assert failure(errors) == expected


def test_only_named_lines_are_set_aside() -> None:
    found = failure((LineError("invalid", None, "some"), BAD))
    assert (found.kind, found.lines) == ("lines", (BAD,))


def test_a_profile_can_be_overridden_and_names_what_it_has() -> None:
    assert profile_of("openai", {"max_requests": 10}).max_requests == 10
    assert profile_of("openai").max_requests == 50_000
    with pytest.raises(SettingsError, match="has no max_request;"):
        profile_of("openai", {"max_request": 10})
    with pytest.raises(SettingsError, match="openai, anthropic"):
        profile_of("azure")


def test_batches_cost_half() -> None:
    price = cost("openai", "gpt-4o-mini", 1_000_000, 1_000_000)
    assert price is not None
    assert price.sync_usd == pytest.approx(0.75)
    assert price.batch_usd == pytest.approx(0.375)


def test_a_model_without_a_known_price_costs_nobody_knows_what() -> None:
    assert cost("openai", "a-model-of-ones-own", 1, 1) is None


def test_the_ladder_needs_no_sdk() -> None:
    shaped = SimpleNamespace(headers={"retry-after": "3"})
    error = Exception("limited")
    error.status_code, error.response = 429, shaped  # type: ignore[attr-defined]  # as the SDK sets it
    found = verdict(error, NOW)
    assert isinstance(found, Throttled)
    assert found.retry_after == timedelta(seconds=3)
