"""Is the `params` of a message valid for Anthropic? Pure; raises the provider's own 400 where it is not."""

import re
from typing import Any

from deploy.sandbox.provider.bodies import MESSAGES_KEYS
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.parts import check_anthropic_part

LEAST_BUDGET, LEAST_TOP_P, MOST_BREAKPOINTS = 1024, 0.95, 4
ADAPTIVE_ONLY = re.compile(r"claude-(opus-4-[7-9]|sonnet-4-[7-9]|(opus|sonnet|haiku|fable|mythos)-5)")
BUDGET_ONLY = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-5](-|$)|-2025|$))")
ALWAYS_THINKS = re.compile(r"claude-((opus|sonnet)-5-5|(fable|mythos)-5|mythos-preview)")
THINKS_BY_ITSELF = re.compile(r"claude-((opus|sonnet|haiku|fable|mythos)-5|mythos-preview)")
ONE_OF_SAMPLING = re.compile(r"claude-(opus-4-[1-9](-|$)|(sonnet|haiku)-4-[5-9](-|$)|(opus|sonnet|haiku)-5)")
DRAWS_ITSELF = re.compile(
    r"claude-((opus|sonnet|haiku)-4-[7-9](-|$)|(opus|sonnet|haiku|fable|mythos)-5|mythos-preview)"
)
WITHOUT_FORCED_TOOLS = re.compile(r"claude-((opus|sonnet)-5-5|(fable|mythos)-5-1)")
DEFAULT_TOP_P = 0.99
WITHOUT_SCHEMAS = re.compile(r"claude-(3|(opus|sonnet)-4(-[01](-|$)|-2025|$))")


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
        if part.get("type") in ("image", "document"):
            check_anthropic_part(part, where)
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


def thinks(body: dict[str, Any]) -> bool:
    """Whether it thinks, by itself or told to; a tool that it must call it calls without."""
    told = (body.get("thinking") or {}).get("type")
    if told is None:
        return THINKS_BY_ITSELF.match(body["model"]) is not None and not _is_forced(body)
    return told in ("enabled", "adaptive")


def _is_forced(body: dict[str, Any]) -> bool:
    return (body.get("tool_choice") or {}).get("type") in ("any", "tool")


def _check_thinking(body: dict[str, Any]) -> None:
    """Refuse what the thinking guide says that a request with thinking can't have."""
    asked, model = body.get("thinking"), body["model"]
    if asked is None:
        return
    kind = asked.get("type")
    if kind not in ("enabled", "adaptive", "disabled"):
        raise _bad(f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if kind == "enabled":
        _check_budget(body, asked.get("budget_tokens"))
        if ADAPTIVE_ONLY.match(model):
            raise _bad('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".')
    if kind == "adaptive" and BUDGET_ONLY.match(model):
        raise _bad("adaptive thinking is not supported on this model")
    if kind == "disabled" and ALWAYS_THINKS.match(model):
        raise _bad('"thinking.type.disabled" is not supported for this model. Use "thinking.type.adaptive".')
    if kind != "disabled":
        _check_thinker(body)


def _check_budget(body: dict[str, Any], budget: Any) -> None:
    if not isinstance(budget, int) or budget < LEAST_BUDGET:
        raise _bad(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}")
    if budget >= body["max_tokens"]:
        raise _bad("`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_thinker(body: dict[str, Any]) -> None:
    if body.get("temperature") not in (None, 1):
        raise _bad("`temperature` may only be set to 1 when thinking is enabled.")
    if body.get("top_p") is not None and body["top_p"] < LEAST_TOP_P:
        raise _bad("`top_p` must be greater than or equal to 0.95 when thinking is enabled.")
    if body["thinking"]["type"] == "enabled" and _is_forced(body):
        raise _bad("Thinking may not be enabled when tool_choice forces tool use.")


def _check_sampling(body: dict[str, Any]) -> None:
    """Refuse what the migration guides say that a model refuses of its sampling, and of tools that it must call."""
    model, temperature, top_p = body["model"], body.get("temperature"), body.get("top_p")
    if not 0 <= (temperature or 0) <= 1:
        raise _bad("temperature: range: 0..1")
    if temperature is not None and top_p is not None and ONE_OF_SAMPLING.match(model):
        raise _bad("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if DRAWS_ITSELF.match(model):
        given = {"temperature": temperature not in (None, 1), "top_p": top_p not in (None, DEFAULT_TOP_P)}
        for name in (*(name for name, is_own in given.items() if is_own), *({"top_k"} & body.keys())):
            raise _bad(f"`{name}` is deprecated for this model.")
    if _is_forced(body) and WITHOUT_FORCED_TOOLS.match(model):
        raise _bad('tool_choice: type "tool" and "any" are not supported for this model.')


def cached_blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks with a cache breakpoint."""
    system = body.get("system")
    blocks = [*(system if isinstance(system, list) else ()), *(body.get("tools") or ())]
    for message in body["messages"]:
        blocks += message["content"] if isinstance(message.get("content"), list) else ()
    return [block for block in blocks if block.get("cache_control")]


def _check_caches(body: dict[str, Any]) -> None:
    blocks = cached_blocks(body)
    if len(blocks) > MOST_BREAKPOINTS:
        raise _bad(f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(blocks)}.")
    for block in blocks:
        control = block["cache_control"]
        if control.get("type") != "ephemeral" or control.get("ttl", "5m") not in ("5m", "1h"):
            raise _bad("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")


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
    _check_sampling(body)
    _check_conversation(body["messages"])
    _check_thinking(body)
    _check_caches(body)
    wanted = output_format(body)
    if wanted and WITHOUT_SCHEMAS.match(body["model"]):
        raise _bad(f"output_config.format: structured outputs are not supported by {body['model']}")
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
