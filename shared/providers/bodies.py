"""From a model and its options to the body of a request, for each task of each provider. Pure.

Option names are those of Flink 2.3's OpenAI model provider (OpenAIOptions); what a task has no field for is left out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import JsonValue

from shared.definition import Model
from shared.providers.lines import HOLE, Lines, merged
from shared.schema import answer_schema, is_text, unions, without_nulls

Body = dict[str, Any]

Url = Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"]

URLS: dict[str, Url] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "moderations": "/v1/moderations",
}
"""What OpenAI's batch lines and creates call a task, whatever the prefix of a gateway's own address."""

FIELDS: dict[str, dict[str, str]] = {
    "chat": {
        "temperature": "temperature",
        "top-p": "top_p",
        "stop": "stop",
        # `max_tokens` is deprecated, and refused by reasoning models.
        "max-tokens": "max_completion_tokens",
        "presence-penalty": "presence_penalty",
        "n": "n",
        "seed": "seed",
    },
    "responses": {
        "temperature": "temperature",
        "top-p": "top_p",
        "max-tokens": "max_output_tokens",
    },
    "embeddings": {"dimension": "dimensions"},
    "moderations": {},
    "messages": {
        "temperature": "temperature",
        "top-p": "top_p",
        "stop": "stop_sequences",
        "max-tokens": "max_tokens",
    },
}
"""The options that are one field of a task's body, as they are given, and the field."""

THINKING, EFFORT, PROMPT_CACHE, STRUCTURED = (
    "batch.thinking",
    "batch.effort",
    "batch.prompt-cache",
    "batch.structured-output",
)
"""Our own options, which shape a body otherwise."""

DEFAULT_MAX_TOKENS = 4096
"""Anthropic demands a limit; this is the most that every one of its models takes."""
_MAX_UNIONS = 16
"""Anthropic's limit for the properties of several types in one schema (its structured outputs guide)."""
SCHEMA_NAME = "answer"
"""What a schema, or the tool in its place, is called."""
_TOOL = "Gives the answer."
_WITHOUT_SCHEMAS = re.compile(r"claude-(instant|[23]|opus-4-(0|1|2025)|sonnet-4-(0|2025)|opus-4$|sonnet-4$)")
"""Claude models without `output_config.format` (its guide names those that have it; every later one has)."""


def request_lines(model: Model) -> Lines:
    """The writer of a model's request lines.

    Raises SettingsError for an output column that JSON can't carry, and when the extra body displaces the prompt.
    """
    body = merged(_BODIES[model.task](model), model.extra_body)
    if model.task == "messages":
        return Lines({"params": body})
    return Lines({"method": "POST", "url": URLS[model.task], "body": body})


def _chat(model: Model) -> Body:
    system = [{"role": "system", "content": model.system_prompt}] if model.system_prompt else []
    body = {"model": model.model, "messages": [*system, {"role": "user", "content": HOLE}]} | _options(model)
    if structured_by(model) == "tool":
        function = {"name": SCHEMA_NAME, "description": _TOOL, "parameters": answer_schema(model.output)}
        choice = {"type": "function", "function": {"name": SCHEMA_NAME}}
        return body | {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
    wanted = _openai_format(model)
    if wanted is None:
        return body
    if wanted["type"] == "json_schema":
        wanted = {"type": "json_schema", "json_schema": {key: wanted[key] for key in ("name", "strict", "schema")}}
    return body | {"response_format": wanted}


def _responses(model: Model) -> Body:
    system = {"instructions": model.system_prompt} if model.system_prompt else {}
    body = {"model": model.model, **system, "input": HOLE} | _options(model)
    wanted = _openai_format(model)
    return body if wanted is None else body | {"text": {"format": wanted}}


def _embeddings(model: Model) -> Body:
    # base64 makes the results a third as large as decimal digits, and float32 exact.
    return {"model": model.model, "input": HOLE} | _options(model) | {"encoding_format": "base64"}


def _moderations(model: Model) -> Body:
    return {"model": model.model, "input": HOLE}


def thinking_tokens(model: Model) -> int:
    """The tokens that a model may think with before an answer, where their number is said. They are a part of it."""
    said = model.parameters.get(THINKING)
    return said if isinstance(said, int) else 0


def _messages(model: Model) -> Body:
    thinking, room = model.parameters.get(THINKING), thinking_tokens(model)
    options = {"max_tokens": DEFAULT_MAX_TOKENS + room} | _options(model)
    body = {"model": model.model, **options, **_system(model), "messages": [{"role": "user", "content": HOLE}]}
    if thinking is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": room} if room else {"type": thinking}
    effort = model.parameters.get(EFFORT)
    config: Body = {} if effort is None else {"effort": effort}
    way = structured_by(model)
    if way in ("schema", "tool"):
        schema = answer_schema(model.output)
        if unions(schema) > _MAX_UNIONS:
            schema = without_nulls(schema)
        if way == "tool":
            body["tools"] = [{"name": SCHEMA_NAME, "description": _TOOL, "input_schema": schema}]
            body["tool_choice"] = {"type": "tool", "name": SCHEMA_NAME}
        else:
            config["format"] = {"type": "json_schema", "schema": schema}
    return body | ({"output_config": config} if config else {})


def _system(model: Model) -> Body:
    """The system prompt; one that is to be kept in the provider's cache is a block of its own."""
    if not model.system_prompt:
        return {}
    kept = model.parameters.get(PROMPT_CACHE)
    if kept is None:
        return {"system": model.system_prompt}
    control = {"type": "ephemeral", "ttl": kept}
    return {"system": [{"type": "text", "text": model.system_prompt, "cache_control": control}]}


def structured_by(model: Model) -> str | None:
    """How columns are asked for: by a schema, as the arguments of a tool, or by the prompt alone.

    None where the answer is text anyhow.
    """
    if is_text(model.output) or model.parameters.get("response-format") is not None:
        return None
    said = model.parameters.get(STRUCTURED)
    if said is not None:
        return str(said)
    return "schema" if takes_schemas(model.task, model.model) else "tool"


def takes_schemas(task: str, model: str) -> bool:
    """Whether a model has structured outputs; an unheard-of one has."""
    return task != "messages" or _WITHOUT_SCHEMAS.match(model) is None


_BODIES: Mapping[str, Callable[[Model], Body]] = {
    "chat": _chat,
    "responses": _responses,
    "embeddings": _embeddings,
    "moderations": _moderations,
    "messages": _messages,
}


def _options(model: Model) -> Body:
    """The given options as fields, in the table's order."""
    given = model.parameters
    return {
        field: _stops(given[option]) if option == "stop" else given[option]
        for option, field in FIELDS[model.task].items()
        if option in given
    }


def _stops(value: JsonValue) -> JsonValue:
    """Flink's `stop` is a list separated by commas."""
    return list(value.split(",")) if isinstance(value, str) else value


def _openai_format(model: Model) -> Body | None:
    """What the answer must look like: as `response-format` says, else as the output columns ask."""
    said = model.parameters.get("response-format")
    if said is not None:
        return {"type": str(said).lower()}
    if structured_by(model) != "schema":
        return None
    return {"type": "json_schema", "name": SCHEMA_NAME, "strict": True, "schema": answer_schema(model.output)}
