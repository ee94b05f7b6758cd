"""What both providers' result lines have in common: the frame in which one line is judged. Pure, and a hot path."""

from typing import Any

import orjson

from shared.causes import Cause
from shared.providers.codes import line_verdict
from shared.providers.port import Answer

Object = dict[str, Any]
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading an answer of another shape than documented can raise."""


def parsed(line: bytes) -> Object | None:
    """The line as an object that has a custom_id; None for a malformed line."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, dict) and isinstance(value.get("custom_id"), str):
        return value
    return None


def failed(custom_id: str, status: int | None, error: Any, raw: Any) -> Answer:
    """An answer for a result that is an error; `error` is what the provider put in its place."""
    said = error if isinstance(error, dict) else {}
    code, kind = _word(said.get("code")), _word(said.get("type"))
    if status is None and code is not None and code.isdecimal():
        status = int(code)
    message = said.get("message")
    text = message if isinstance(message, str) else (error if isinstance(error, str) else "")
    verdict, cause = line_verdict(status, code, kind, text)
    label = code or kind or (f"status {status}" if status is not None else "no answer")
    return Answer(custom_id, verdict, cause=cause, message=f"{label}: {text}" if text else label, raw=dumped(raw))


def unreadable(value: Object, error: Exception) -> Answer:
    """An answer for a result that says success and holds none that we can read."""
    message = f"the answer has another shape than the provider documents ({type(error).__name__}: {error})"
    return Answer(value["custom_id"], "failed", cause=Cause.MALFORMED, message=message, raw=dumped(value))


def dumped(value: Any) -> str | None:
    """JSON text of what the provider sent; None for nothing."""
    return orjson.dumps(value).decode() if value else None


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None
