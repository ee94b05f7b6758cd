"""One line of OpenAI's output or error file, judged by itself, whatever its task. Pure, a hot path.

A line is {id, custom_id, response: {status_code, body} | null, error | null}; a 4xx may stand in the body, error null.
"""

from array import array
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import orjson

from shared.causes import Cause
from shared.providers.answers import (
    NOT_PLAIN,
    UNREADABLE,
    Object,
    Tokens,
    failed,
    name_of,
    parsed,
    raw_of,
    tokens,
    unreadable,
)
from shared.providers.bodies import SCHEMA_NAME
from shared.providers.port import Answer


class _Message(msgspec.Struct, gc=False):
    content: str
    refusal: None = None
    tool_calls: None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0


class _Completion(msgspec.Struct, gc=False):
    object: Literal["chat.completion"]
    choices: list[_Choice]
    usage: _Usage
    model: str
    error: None = None


class _Response(msgspec.Struct, gc=False):
    status_code: Literal[200]
    body: _Completion


class _Line(msgspec.Struct, gc=False):
    """What nearly every line is."""

    custom_id: str
    response: _Response
    error: None = None


_decode = msgspec.json.Decoder(_Line).decode


def judge(line: bytes) -> Answer | None:
    """The answer that a line holds; None for a malformed one."""
    return plain(line) or judge_any(line)


def plain(line: bytes) -> Answer | None:
    """The answer of a completion that went well, of which only what counts is decoded; None for any other line."""
    try:
        decoded = _decode(line)
        body = decoded.response.body
        choice = body.choices[0]
    except NOT_PLAIN:
        return None
    if choice.finish_reason in _REASONS:
        return None
    used, made = body.usage.prompt_tokens, body.usage.completion_tokens
    return Answer(decoded.custom_id, "succeeded", choice.message.content, None, body.model, used, made)


def judge_any(line: bytes) -> Answer | None:
    """As `judge`, without the short cut: also what it skips has to be JSON."""
    value = parsed(line)
    if value is None:
        return None
    response: Any = value.get("response")
    body: Any = response.get("body") if isinstance(response, dict) else None
    if value.get("error") or not isinstance(body, dict) or body.get("error") or response.get("status_code") != 200:
        return _failed(value["custom_id"], value, response, body)
    try:
        reader = _READERS.get(body.get("object", "")) or _by_shape(body)
        return reader(value["custom_id"], body)
    except UNREADABLE as error:
        return unreadable(value, error)


def _failed(custom_id: str, value: Object, response: Any, body: Any) -> Answer:
    status = response.get("status_code") if isinstance(response, dict) else None
    error = value.get("error") or (body.get("error") if isinstance(body, dict) else body)
    if isinstance(status, int) and 200 <= status < 300:
        # The error's own words decide where the status says success.
        status = None
    return failed(custom_id, status if isinstance(status, int) else None, error, body or value.get("error"))


def _chat(custom_id: str, body: Object) -> Answer:
    choice = body["choices"][0]
    message = choice["message"]
    usage = body.get("usage") or {}
    used, made = tokens(usage.get("prompt_tokens")), tokens(usage.get("completion_tokens"))
    model = name_of(body.get("model"))
    text = message.get("content")
    if type(text) is not str:
        text = _parts(text) if text else None
    if isinstance(message.get("tool_calls"), list) and message["tool_calls"]:
        text = _called(message["tool_calls"], text)
    if message.get("refusal"):
        return _spoilt(custom_id, Cause.REFUSAL, message["refusal"], model, used, made)
    reason = choice.get("finish_reason")
    if reason in _REASONS:
        return _spoilt(custom_id, _REASONS[reason], text, model, used, made)
    return Answer(custom_id, "succeeded", _text(text), None, model, used, made)


def _response(custom_id: str, body: Object) -> Answer:
    output = body["output"]
    said = [part for item in output if item["type"] == "message" for part in item["content"]]
    texts = [part["text"] for part in said if part["type"] == "output_text"]
    refusals = [part["refusal"] for part in said if part["type"] == "refusal"]
    calls = [{"function": item} for item in output if item["type"] == "function_call"]
    usage = body.get("usage") or {}
    used, made = tokens(usage.get("input_tokens")), tokens(usage.get("output_tokens"))
    model = name_of(body.get("model"))
    if refusals:
        return _spoilt(custom_id, Cause.REFUSAL, "".join(refusals), model, used, made)
    text = "".join(texts) if texts else None
    if len(texts) > 1 and _is_structured(body):
        text = _whole(texts) or text
    if calls:
        text = _called(calls, text)
    if body.get("status") == "incomplete":
        reason = (body.get("incomplete_details") or {}).get("reason") or ""
        return _spoilt(custom_id, _REASONS.get(reason, Cause.TRUNCATED), text, model, used, made)
    return Answer(custom_id, "succeeded", _text(text), None, model, used, made)


def _is_structured(body: Object) -> bool:
    asked = (body.get("text") or {}).get("format") or {}
    return asked.get("type") in ("json_schema", "json_object")


def _whole(texts: list[str]) -> str | None:
    """The one item that is an object by itself, where the others are fragments of it; None for parts of one answer."""
    if _is_object("".join(texts)):
        return None
    objects = [text for text in texts if _is_object(text)]
    return objects[0] if len(objects) == 1 else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _embedding(custom_id: str, body: Object) -> Answer:
    data = body["data"]
    used, model = tokens((body.get("usage") or {}).get("prompt_tokens")), name_of(body.get("model"))
    if len(data) == 1:
        return Answer(custom_id, "succeeded", None, _vector(data[0]), model, used)
    found = tuple((_place(each), vector) for each in data if (vector := _vector_or_none(each)) is not None)
    return Answer(custom_id, "succeeded", None, found[0][1], model, used, embeddings=found)


def _vector(item: Object) -> list[float]:
    vector: Any = item["embedding"]
    if isinstance(vector, str):
        # Little-endian float32, as this and every supported machine holds them.
        vector = array("f", b64decode(vector)).tolist()
    elif not isinstance(vector, list):
        raise TypeError("the embedding is neither a list nor base64")
    if not vector or not all(type(each) in (int, float) for each in vector):
        raise TypeError("the embedding is no list of numbers")
    return list(vector)


def _vector_or_none(item: Object) -> list[float] | None:
    """Of several, one that can't be read is the end of its own input only."""
    try:
        return _vector(item)
    except UNREADABLE:
        return None


def _place(item: Object) -> int:
    """An input's number; -1 where the answer names none."""
    place = item.get("index")
    return place if type(place) is int else -1


def _moderation(custom_id: str, body: Object) -> Answer:
    result = body["results"][0]
    if not isinstance(result, dict):
        raise TypeError("its result is no object")
    # A moderation tells no usage; it costs nothing.
    return Answer(custom_id, "succeeded", orjson.dumps(result).decode(), None, name_of(body.get("model")))


def _spoilt(custom_id: str, cause: Cause, text: Any, model: str | None, used: int, made: int) -> Answer:
    """An answer that the model or the provider broke off."""
    return Answer(custom_id, "failed", None, None, model, used, made, cause, _MESSAGES[cause], raw_of(text))


def _text(text: Any) -> str:
    if type(text) is str:
        return text
    raise TypeError("it holds no text")


def _parts(content: Any) -> str:
    """All text of a content that comes in parts, as some gateways send it."""
    return "".join(part["text"] for part in content if part.get("type") in ("text", "output_text"))


def _called(calls: Any, text: str | None) -> Any:
    """The arguments of the tool that asks for columns; of another, by a request's extra body, where no text is said."""
    functions = [
        each["function"] for each in calls if isinstance(each, dict) and isinstance(each.get("function"), dict)
    ]
    for function in functions:
        if function.get("name") == SCHEMA_NAME:
            return function.get("arguments")
    return text if text and not text.isspace() else functions[0].get("arguments")


def _by_shape(body: Object) -> Callable[[str, Object], Answer]:
    """The reader of a body without an object's name: a moderation has none, and gateways leave them out."""
    if "choices" in body:
        return _chat
    if "results" in body:
        return _moderation
    return _response if "output" in body else _embedding


_READERS: Mapping[str, Callable[[str, Object], Answer]] = {
    "chat.completion": _chat,
    "response": _response,
    "list": _embedding,
}
_REASONS: Mapping[str, Cause] = {
    "length": Cause.TRUNCATED,
    "max_output_tokens": Cause.TRUNCATED,
    "content_filter": Cause.CONTENT_FILTER,
}
_MESSAGES: Mapping[Cause, str] = {
    Cause.REFUSAL: "the model refused",
    Cause.TRUNCATED: "the answer was cut at its longest permitted length; raise 'max-tokens'",
    Cause.CONTENT_FILTER: "the provider's filter stopped the answer",
}
