"""Is a request's body valid for its endpoint? Pure; raises the provider's own 400 where it is not."""

import re
from collections.abc import Callable
from typing import Any

from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.parts import CHAT_PARTS, MODERATION_PARTS, RESPONSE_PARTS, check_openai_part


# The keys of the SDKs' *CreateParamsBase types (openai 3.54, anthropic 2.12), with those of a stream.
def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CHAT_KEYS = _names("""
    audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages
    metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier
    stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options
""")
RESPONSES_KEYS = _names("""
    access_programs background background_options context_management conversation image include input instructions
    max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt
    prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store
    stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user
""")
EMBEDDING_KEYS = _names("dimensions encoding_format input model user")
MODERATION_KEYS = _names("input model")
MESSAGES_KEYS = _names("""
    cache_control container diagnostics inference_geo max_tokens messages metadata model output_config output_format
    service_tier speed stop_sequences stream system thinking tool_choice tools top_k top_p temperature
    user_profile_id workspace_id
""")
REASONING_MODEL = re.compile(r"^(gpt-5|gpt-6|o\d)")
SCHEMA_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")

Body = dict[str, Any]


def _bad(message: str, param: str | None, code: str | None = None) -> ProviderError:
    return ProviderError(400, message, code=code, param=param, type="invalid_request_error")


def _known_keys(body: Body, known: frozenset[str]) -> None:
    unknown = next((key for key in body if key not in known), None)
    if unknown is not None:
        raise _bad(f"Unknown parameter: '{unknown}'.", unknown, "unknown_parameter")


def _model(body: Body) -> None:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _bad("you must provide a model parameter", "model", "missing_required_parameter")
    if model.startswith("no-such"):
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise ProviderError(404, message, code="model_not_found", param="model", type="invalid_request_error")


def _check_strict_object(schema: Body, name: str, context: str) -> None:
    where = f"Invalid schema for response_format '{name}': In context={context}, "
    if schema.get("additionalProperties") is not False:
        why = "'additionalProperties' is required to be supplied and to be false."
        raise _bad(where + why, "response_format", "invalid_json_schema")
    if set(schema.get("required", ())) != set(schema.get("properties") or ()):
        why = "'required' is required to be supplied and to be an array including every key in properties."
        raise _bad(where + why, "response_format", "invalid_json_schema")


def check_strict_schema(schema: Any, name: str, context: str = "()") -> None:
    """Refuse what OpenAI's strict mode refuses: open objects and properties that are not required."""
    if isinstance(schema, list):
        for part in schema:
            check_strict_schema(part, name, context)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        _check_strict_object(schema, name, context)
    for key in ("properties", "$defs"):
        for inner, part in (schema.get(key) or {}).items():
            check_strict_schema(part, name, f"('{key}', '{inner}')")
    for key in ("items", "anyOf"):
        check_strict_schema(schema.get(key), name, f"('{key}',)")


def _json_format(spec: Any, param: str) -> None:
    """Check a `json_schema` format: OpenAI's name, schema and strict."""
    if not isinstance(spec, dict) or not SCHEMA_NAME.match(str(spec.get("name", ""))):
        message = f"Missing required parameter: '{param}.name'."
        raise _bad(message, f"{param}.name", "missing_required_parameter")
    if not isinstance(spec.get("schema"), dict):
        message = f"Missing required parameter: '{param}.schema'."
        raise _bad(message, f"{param}.schema", "missing_required_parameter")
    if spec.get("strict"):
        if spec["schema"].get("type") != "object":
            message = f"Invalid schema for response_format '{spec['name']}': schema must be a JSON Schema of "
            raise _bad(message + "'type: \"object\"'.", param, "invalid_json_schema")
        check_strict_schema(spec["schema"], spec["name"])


def _sampling(body: Body, length: str) -> None:
    """Refuse what reasoning models refuse, and sampling values that are out of range."""
    model = body["model"]
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        raise _bad(f"Invalid 'temperature': decimal above maximum value. Got {temperature}.", "temperature")
    if body.get(length) is not None and (not isinstance(body[length], int) or body[length] < 1):
        raise _bad(f"Invalid '{length}': integer below minimum value. Expected a value >= 1.", length)
    if not REASONING_MODEL.match(model):
        return
    if body.get("max_tokens") is not None:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. "
        raise _bad(message + "Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter")
    if temperature not in (None, 1):
        message = f"Unsupported value: 'temperature' does not support {temperature} with this model. "
        raise _bad(message + "Only the default (1) value is supported.", "temperature", "unsupported_value")


def _openai_message(message: Any, where: str) -> None:
    roles = {"system", "developer", "user", "assistant", "tool", "function"}
    if not isinstance(message, dict) or message.get("role") not in roles:
        raise _bad(f"Invalid value for '{where}.role'.", where, "invalid_value")
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        return
    if not isinstance(content, str | list) or content == []:
        raise _bad(f"Invalid value for 'content': expected a string, got {type(content).__name__}.", f"{where}.content")
    for part in content if isinstance(content, list) else ():
        check_openai_part(part, CHAT_PARTS)


def check_chat(body: Body) -> None:
    _known_keys(body, CHAT_KEYS)
    _model(body)
    messages = body.get("messages")
    if messages is None:
        raise _bad("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise _bad("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    for index, message in enumerate(messages):
        _openai_message(message, f"messages[{index}]")
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        _json_format(response_format.get("json_schema"), "response_format.json_schema")
    _sampling(body, "max_completion_tokens")


def check_responses(body: Body) -> None:
    _known_keys(body, RESPONSES_KEYS)
    _model(body)
    if not isinstance(body.get("input"), str | list):
        raise _bad("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    for item in body["input"] if isinstance(body["input"], list) else ():
        content = item.get("content") if isinstance(item, dict) else None
        for part in content if isinstance(content, list) else ():
            check_openai_part(part, RESPONSE_PARTS)
    text_format = (body.get("text") or {}).get("format") or {}
    if text_format.get("type") == "json_schema":
        _json_format(text_format, "text.format")
    _sampling(body, "max_output_tokens")


def check_embeddings(body: Body) -> None:
    _known_keys(body, EMBEDDING_KEYS)
    _model(body)
    content = body.get("input")
    empty = content in ("", [], None) or (isinstance(content, list) and "" in content)
    if empty or not isinstance(content, str | list):
        raise _bad("'$.input' is invalid. Please check the API reference.", "input")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise _bad("Invalid value for 'encoding_format': expected 'float' or 'base64'.", "encoding_format")
    dimensions = body.get("dimensions", 1)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= 3072:
        raise _bad("Invalid value for 'dimensions': expected 1 to 3072.", "dimensions")


def check_moderations(body: Body) -> None:
    _known_keys(body, MODERATION_KEYS)
    if "model" in body:
        _model(body)
    content = body.get("input")
    if not content or not isinstance(content, str | list):
        raise _bad("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            check_openai_part(part, MODERATION_PARTS)
    images = [part for part in content if isinstance(part, dict) and part.get("type") == "image_url"]
    if len(images) > 1:
        raise _bad("Too many images provided; up to 1 are allowed.", "input", "too_many_images")


CHECKS: dict[str, Callable[[Body], None]] = {
    "/v1/chat/completions": check_chat,
    "/v1/responses": check_responses,
    "/v1/embeddings": check_embeddings,
    "/v1/moderations": check_moderations,
}


def embedding_inputs(body: Body) -> int:
    """Return how many inputs an embeddings request holds (a list of ints is one input)."""
    content = body.get("input")
    if isinstance(content, list) and content and not isinstance(content[0], int):
        return len(content)
    return 1
