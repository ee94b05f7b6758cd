"""From a model and its options to the body of a request, for each task of each provider. Pure.

Option names are those of Flink 2.3's OpenAI model provider (OpenAIOptions); what a task has no field for is left out.
"""

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
        "response-format": "response_format",
    },
    "responses": {
        "temperature": "temperature",
        "top-p": "top_p",
        "max-tokens": "max_output_tokens",
        "response-format": "text",
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
"""The options that each task has a field for, and the field; an option that is not here has no effect on that task."""

DEFAULT_MAX_TOKENS = 4096
"""Anthropic demands a limit; this is the most that every one of its models takes."""
_MAX_UNIONS = 16
"""Anthropic's limit for the properties of several types in one schema (its structured outputs guide)."""
_SCHEMA_NAME = "answer"


def unused_options(model: Model) -> list[str]:
    """The model's options that its task has no field for."""
    return sorted(set(model.parameters) - set(FIELDS[model.task]))


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


def _messages(model: Model) -> Body:
    system = {"system": model.system_prompt} if model.system_prompt else {}
    options = {"max_tokens": DEFAULT_MAX_TOKENS} | _options(model)
    body = {"model": model.model, **options, **system, "messages": [{"role": "user", "content": HOLE}]}
    if is_text(model.output):
        return body
    schema = answer_schema(model.output)
    if unions(schema) > _MAX_UNIONS:
        schema = without_nulls(schema)
    return body | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


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
        if option in given and option != "response-format"
    }


def _stops(value: JsonValue) -> JsonValue:
    """Flink's `stop` is a list separated by commas."""
    return list(value.split(",")) if isinstance(value, str) else value


def _openai_format(model: Model) -> Body | None:
    """What the answer must look like: as `response-format` says, else as the output columns ask."""
    said = model.parameters.get("response-format")
    if said is not None:
        return {"type": str(said).lower()}
    if is_text(model.output):
        return None
    return {"type": "json_schema", "name": _SCHEMA_NAME, "strict": True, "schema": answer_schema(model.output)}
