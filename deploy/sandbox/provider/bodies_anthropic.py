"""Is the `params` of a message valid for Anthropic? Pure; raises the provider's own 400 where it is not."""

from typing import Any

from deploy.sandbox.provider.bodies import MESSAGES_KEYS
from deploy.sandbox.provider.errors import ProviderError


def _bad(message: str) -> ProviderError:
    return ProviderError(400, message, type="invalid_request_error")


def _check_content(content: Any, where: str, *, last_assistant: bool) -> None:
    if content is None:
        raise _bad(f"{where}.content: Field required")
    if content in ("", []) and not last_assistant:
        raise _bad(f"{where}: user messages must have non-empty content")
    if not isinstance(content, str | list):
        raise _bad(f"{where}.content: Input should be a valid string or list")
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "text" and not str(part.get("text", "")).strip():
            raise _bad("messages: text content blocks must be non-empty")
    if isinstance(content, str) and content and not content.strip():
        raise _bad("messages: text content blocks must contain non-whitespace text")


def _check_schema(schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _check_schema(part)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        why = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        raise _bad(f"output_config.format.schema: {why}")
    for key in ("minimum", "maximum", "minLength", "maxLength", "maxItems"):
        if key in schema:
            raise _bad(
                f"output_config.format.schema: For '{schema.get('type')}' type, property '{key}' is not supported"
            )
    for key in ("properties", "$defs"):
        for part in (schema.get(key) or {}).values():
            _check_schema(part)
    _check_schema(schema.get("items"))
    _check_schema(schema.get("anyOf"))


def output_format(body: dict[str, Any]) -> dict[str, Any]:
    """Return the structured output asked for: `output_config.format`, or the older `output_format`."""
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return wanted if isinstance(wanted, dict) else {}


def check_messages(body: dict[str, Any]) -> None:
    unknown = next((key for key in body if key not in MESSAGES_KEYS), None)
    if unknown is not None:
        raise _bad(f"{unknown}: Extra inputs are not permitted")
    for key in ("model", "max_tokens", "messages"):
        if body.get(key) is None:
            raise _bad(f"{key}: Field required")
    if str(body["model"]).startswith("no-such"):
        raise ProviderError(404, f"model: {body['model']}", type="not_found_error")
    if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
        raise _bad("max_tokens: Input should be greater than or equal to 1")
    if not 0 <= (body.get("temperature") or 0) <= 1:
        raise _bad("temperature: range: 0..1")
    _check_conversation(body["messages"])
    wanted = output_format(body)
    if wanted and (wanted.get("type") != "json_schema" or not isinstance(wanted.get("schema"), dict)):
        raise _bad("output_config.format: type json_schema and schema are required")
    _check_schema(wanted.get("schema"))


def _check_conversation(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _bad("messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise _bad(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        last = index == len(messages) - 1 and message["role"] == "assistant"
        _check_content(message.get("content"), f"messages.{index}", last_assistant=last)
