"""What both providers' result lines have in common: the frame in which one line is judged. Pure, and a hot path."""

from typing import Annotated, Any

import msgspec
import orjson

from shared.causes import Cause
from shared.providers.codes import line_verdict
from shared.providers.port import Answer

Object = dict[str, Any]
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading an answer of another shape than documented can raise."""
NOT_PLAIN = (msgspec.MsgspecError, IndexError, UnicodeDecodeError, RecursionError)
"""What decoding a line of another shape than most have can raise."""
_MOST_TOKENS = 1 << 32
Tokens = Annotated[int, msgspec.Meta(ge=0, lt=_MOST_TOKENS)]
"""A count of tokens that is one."""


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
    if status is None and code is not None and len(code) == 3 and code.isdecimal():
        status = int(code)
    message = said.get("message")
    text = message if isinstance(message, str) else (error if isinstance(error, str) else "")
    verdict, cause = line_verdict(status, code, kind, text)
    label = code or kind or (f"status {status}" if status is not None else "no answer")
    message = f"{label}: {text}" if text else label
    return Answer(custom_id, verdict, cause=cause, message=message, raw=dumped(raw), http_status=status)


def unreadable(value: Object, error: Exception) -> Answer:
    """An answer for a result that says success and holds none that we can read."""
    message = f"the answer has another shape than the provider documents ({type(error).__name__}: {error})"[:500]
    return Answer(value["custom_id"], "failed", cause=Cause.MALFORMED, message=message, raw=dumped(value))


def dumped(value: Any) -> str | None:
    """JSON text of what the provider sent; None for nothing."""
    if not value:
        return None
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # It is read deeper than it is written.
        return "(nested too deeply to be shown)"


def raw_of(text: Any) -> str | None:
    """A broken answer as text, whatever stands in its place."""
    return text if text is None or type(text) is str else dumped(text)


def tokens(said: Any) -> int:
    """A count of tokens; 0 for what is none."""
    return said if type(said) is int and 0 < said < _MOST_TOKENS else 0


def name_of(model: Any) -> str | None:
    """A model's name; None for what is none."""
    return model if type(model) is str else None


def _word(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None
