"""What a failed call means: one flat ladder, one verdict for each exception of either SDK.

The SDKs' classes are the same by shape, so neither needs to be imported here: what decides is the transport's own error
below them, and the status, code, type, message and Retry-After of a refusal.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from shared.clock import Clock
from shared.errors import (
    UNREACHED,
    AccountFault,
    EnqueuedLimit,
    NotFound,
    NotSent,
    ProviderError,
    Rejected,
    Throttled,
    Unknown,
)
from shared.providers.codes import is_account, is_queue_full, limit_in
from shared.telemetry import forms_of

_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)
_KEY = re.compile(r"\b(sk|key)-[\w*.-]{4,}")
_NO_FILE = re.compile(
    r"\bno such file\b|\b(cannot|can't|could not) find file\b|\bfile\b.{0,80}\b(not found|does not exist)\b",
    re.IGNORECASE,
)
_LONGEST_WAIT = timedelta(days=1)


@contextmanager
def judged(clock: Clock, secret: str = "") -> Iterator[None]:
    """Turn whatever the SDK raises in the block into its verdict. Errors of the local disk stay what they are."""
    try:
        yield
    except (ProviderError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - the ladder's last rung is Unknown, and it must catch all
        raise verdict(error, clock(), secret) from None


def verdict(error: Exception, now: datetime, secret: str = "") -> ProviderError:
    """What is known about the effect of a call that raised `error`."""
    cause = error if isinstance(error, httpx2.HTTPError) else error.__cause__
    text = _without_key(str(error) or type(error).__name__, secret)
    if isinstance(cause, _NEVER_SENT):
        return NotSent(f"{UNREACHED}: {_without_key(str(cause) or type(cause).__name__, secret)}")
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    if isinstance(status, int) and status >= 400 and response is not None:
        said = _said(getattr(error, "body", None))
        message = _without_key(str(said.get("message") or text), secret)
        code, kind = (_without_key(word, secret) if word else None for word in (_code(said), _word(said.get("type"))))
        return refusal(status, code, kind, message, response.headers, now)
    if isinstance(cause, httpx2.HTTPError):
        return Unknown(f"no answer: {type(cause).__name__}: {_without_key(str(cause), secret)}")
    return Unknown(f"an answer that can't be read: {type(error).__name__}: {text[:500]}")


def refusal(
    status: int, code: str | None, kind: str | None, message: str, headers: Mapping[str, str], now: datetime
) -> ProviderError:
    """The verdict on an HTTP status of 400 or more. `kind` is what both providers call `type`."""
    text = f"{status} {code or kind or ''}".strip() + f": {message}"
    label = code or kind
    wait = retry_after(headers, now)
    if is_queue_full(status, code, message):
        return EnqueuedLimit(text, limit=limit_in(message), code=label)
    if is_account(status, code, kind, message):
        return AccountFault(text, status=status, code=label)
    if status in (429, 529):
        return Throttled(text, status=status, code=label, retry_after=wait)
    if status == 404 or (status == 400 and _NO_FILE.search(message)):
        return NotFound(text, status=status, code=label)
    if status in (408, 409, 425) or status >= 500:
        return Unknown(text, status=status, code=label, retry_after=wait)
    return Rejected(text, status=status, code=label)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that `retry-after-ms` or `Retry-After` (seconds, or a date) asks for; at most a day."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _wait(milliseconds / 1000)
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return _wait(seconds)
    if not said:
        return None
    try:
        when = parsedate_to_datetime(said)
        return _wait((when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
    except (ValueError, OverflowError, TypeError, IndexError):
        # What the library makes of a text that only looks like a date.
        return None


def _wait(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0.0), _LONGEST_WAIT.total_seconds()))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _said(body: Any) -> dict[str, Any]:
    """The error object of a response's body: OpenAI's SDK unwraps it, Anthropic's does not."""
    if not isinstance(body, dict):
        return {}
    inner = body.get("error")
    return inner if isinstance(inner, dict) else body


def _code(said: dict[str, Any]) -> str | None:
    details = said.get("details")
    return _word(said.get("code")) or (_word(details.get("error_code")) if isinstance(details, dict) else None)


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _without_key(text: str, secret: str) -> str:
    """Providers quote a part of a wrong key in their message, and others between them and us might quote all of it."""
    for form in sorted(forms_of(secret), key=len, reverse=True) if secret else ():
        text = text.replace(form, "(key)")
    return _KEY.sub("(key)", text)
