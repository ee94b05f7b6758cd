"""One line of Anthropic's results, judged by itself. Pure, a hot path.

A line is {custom_id, result: {type: succeeded | errored | canceled | expired, message | error}}.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import orjson

from shared.causes import Cause
from shared.providers.answers import NOT_PLAIN, UNREADABLE, Object, Tokens, failed, name_of, parsed, tokens, unreadable
from shared.providers.port import UNCACHED, Answer, Cached


class _Block(msgspec.Struct, gc=False):
    type: Literal["text"]
    text: str


class _Usage(msgspec.Struct, gc=False):
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_read_input_tokens: Literal[0] | None = None
    cache_creation_input_tokens: Literal[0] | None = None


class _Message(msgspec.Struct, gc=False):
    content: tuple[_Block]
    usage: _Usage
    model: str
    stop_reason: str | None = None


class _Result(msgspec.Struct, gc=False):
    type: Literal["succeeded"]
    message: _Message


class _Line(msgspec.Struct, gc=False):
    """What nearly every line is."""

    custom_id: str
    result: _Result


_decode = msgspec.json.Decoder(_Line).decode


def judge(line: bytes) -> Answer | None:
    """The answer that a line holds; None for a malformed one."""
    return plain(line) or judge_any(line)


def plain(line: bytes) -> Answer | None:
    """The answer of one text that went well and came from no cache, decoded alone; None for any other line."""
    try:
        decoded = _decode(line)
    except NOT_PLAIN:
        return None
    message = decoded.result.message
    if message.stop_reason in _REASONS:
        return None
    used, made = message.usage.input_tokens, message.usage.output_tokens
    return Answer(decoded.custom_id, "succeeded", message.content[0].text, None, message.model, used, made)


def judge_any(line: bytes) -> Answer | None:
    """As `judge`, without the short cut: also what it skips has to be JSON."""
    value = parsed(line)
    if value is None:
        return None
    custom_id = value["custom_id"]
    try:
        result = value["result"]
        kind = result["type"]
        if kind == "succeeded":
            return _message(custom_id, result["message"])
        if kind in _ENDINGS:
            return Answer(custom_id, "retryable", cause=_ENDINGS[kind], message=f"the request was {kind}")
        return _errored(custom_id, result)
    except UNREADABLE as error:
        return unreadable(value, error)


def _message(custom_id: str, message: Object) -> Answer:
    usage = message.get("usage") or {}
    text = _text_of(message["content"])
    used, cached = tokens(usage.get("input_tokens")), UNCACHED
    if usage.get("cache_read_input_tokens") or usage.get("cache_creation_input_tokens"):
        cached = _cached(usage)
        used += sum(cached)
    made = tokens(usage.get("output_tokens"))
    model = name_of(message.get("model"))
    stopped = _REASONS.get(message.get("stop_reason") or "")
    if stopped is not None:
        cause, why = stopped
        raw = text or _explanation(message)
        return Answer(custom_id, "failed", None, None, model, used, made, cause, why, raw, cached)
    if text is None:
        raise ValueError("it holds no text")
    return Answer(custom_id, "succeeded", text, None, model, used, made, cached=cached)


def _cached(usage: Object) -> Cached:
    """What a prompt's cache gave and took; Anthropic counts both apart from its input tokens."""
    written = tokens(usage.get("cache_creation_input_tokens"))
    hour = min(tokens((usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens")), written)
    return Cached(tokens(usage.get("cache_read_input_tokens")), written - hour, hour)


def _text_of(content: Any) -> str | None:
    """All text blocks as one, or the input of the tool that the model was to call. What it thought is left out."""
    if len(content) == 1 and content[0]["type"] == "text":
        return _said(content[0]["text"])
    tools = [block["input"] for block in content if block["type"] == "tool_use"]
    if tools:
        return orjson.dumps(tools[0]).decode()
    texts = [block["text"] for block in content if block["type"] == "text"]
    return "".join(texts) if texts else None


def _said(text: Any) -> str:
    if type(text) is str:
        return text
    raise TypeError("its text is no text")


def _explanation(message: Object) -> str | None:
    explanation = (message.get("stop_details") or {}).get("explanation")
    return explanation if isinstance(explanation, str) else None


def _errored(custom_id: str, result: Object) -> Answer:
    envelope: Object = result.get("error") or {}
    error: Object = envelope.get("error", envelope)
    details = error.get("details") or {}
    return failed(custom_id, None, {**error, "code": details.get("error_code")}, envelope)


_ENDINGS: Mapping[str, Cause] = {"expired": Cause.EXPIRED, "canceled": Cause.CANCELLED}
_CUT = "the answer was cut at its longest permitted length; raise 'max-tokens'"
_REASONS: Mapping[str, tuple[Cause, str]] = {
    "max_tokens": (Cause.TRUNCATED, _CUT),
    "model_context_window_exceeded": (Cause.TRUNCATED, "the prompt leaves no room for the answer"),
    "pause_turn": (Cause.TRUNCATED, "the model paused a turn that nobody continues"),
    "refusal": (Cause.REFUSAL, "the model refused"),
}
