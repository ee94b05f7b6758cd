"""The providers' own words for what went wrong, and whose fault each is: of calls, batches and result lines. Pure.

Sources: OpenAI's error codes guide and the SDK's types, Anthropic's errors guide and the SDK's error details.
"""

import re
from typing import Literal

from shared.causes import Cause

_ACCOUNT_CODES = frozenset(
    {
        "access_terminated",
        "account_deactivated",
        "billing_hard_limit_reached",
        "billing_not_active",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
        "organization_on_hold",
        "storage_quota_exceeded",
    }
)
_ACCOUNT_TYPES = frozenset({"authentication_error", "billing_error", "insufficient_quota", "permission_error"})
_ACCOUNT_STATUSES = frozenset({401, 402, 403})
_NO_CREDIT = re.compile(r"credit balance is too low|storage (limit|quota)|exceed\w* .{0,40}\bstorage\b", re.IGNORECASE)
"""Said with a 400 or 413, where the status alone would blame the request."""
_SPENT = re.compile(r"\b(current|monthly) quota|billing|\bspend(ing)?\b|credit|usage limit", re.IGNORECASE)
"""Said with a 429 that waiting does not heal."""

_QUEUE_CODES = frozenset({"token_limit_exceeded", "enqueued_token_limit_exceeded", "queue_limit_exceeded"})
_QUEUE = re.compile(
    r"enqueued token|\b(batch requests|requests|tokens)\b.{0,40}\bqueue|queued (batch )?requests", re.IGNORECASE
)
_LIMIT = re.compile(r"\blimit(?: is| of)?:?\s*([0-9][0-9,._]*)", re.IGNORECASE)

_FILTER_CODES = frozenset(
    {"content_filter", "content_policy_violation", "moderation_blocked", "ResponsibleAIPolicyViolation"}
)
_TRANSIENT_TYPES = frozenset(
    {"api_error", "overloaded_error", "rate_limit_error", "requests", "server_error", "timeout_error", "tokens"}
)
_REJECTED_TYPES = frozenset({"invalid_request_error", "not_found_error", "request_too_large"})
_TRANSIENT_STATUSES = frozenset({0, 408, 409, 425, 429})
_ENDINGS = {"batch_expired": Cause.EXPIRED, "batch_cancelled": Cause.CANCELLED, "batch_canceled": Cause.CANCELLED}

Status = Literal["succeeded", "failed", "retryable", "account"]


def is_account(status: int | None, code: str | None, kind: str | None, message: str) -> bool:
    """Whether an error is the account's: a bad key, no credit, a spend cap, a full file quota.

    `kind` is what both providers call `type`.
    """
    if code in _ACCOUNT_CODES or kind in _ACCOUNT_TYPES or status in _ACCOUNT_STATUSES:
        return True
    if status == 429:
        return _SPENT.search(message) is not None
    return (status is None or 400 <= status < 500) and _NO_CREDIT.search(message) is not None


def is_queue_full(status: int | None, code: str | None, message: str) -> bool:
    """Whether the account's queue of batches has no room for another one."""
    return code in _QUEUE_CODES or (status in (None, 400, 429) and _QUEUE.search(message) is not None)


def limit_in(message: str) -> int | None:
    """The limit that a message tells: 90000 for `Limit: 90,000 enqueued tokens`."""
    found = _LIMIT.search(message)
    digits = re.sub(r"[^0-9]", "", found[1]) if found else ""
    # A number that no queue has is none: the store could not hold it.
    return int(digits) if 0 < len(digits) <= 15 else None


def line_verdict(status: int | None, code: str | None, kind: str | None, message: str) -> tuple[Status, Cause]:
    """What becomes of a request whose result is an error."""
    if code in _ENDINGS:
        return "retryable", _ENDINGS[code]
    if is_account(status, code, kind, message):
        return "account", Cause.ACCOUNT
    if code in _FILTER_CODES or kind in _FILTER_CODES:
        return "failed", Cause.CONTENT_FILTER
    if kind in _TRANSIENT_TYPES or status in _TRANSIENT_STATUSES:
        return "retryable", Cause.PROVIDER_ERROR
    if (status is not None and 400 <= status < 500) or kind in _REJECTED_TYPES:
        return "failed", Cause.REJECTED
    return "retryable", Cause.PROVIDER_ERROR
