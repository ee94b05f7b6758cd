"""Whether the options of a model that thinks, keeps its prompt or answers in a form of its own fit together. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.definition import Column
from shared.providers.bodies import takes_schemas
from shared.schema import is_text
from submitter.pipeline.claude import claude_remarks
from submitter.pipeline.endpoint import Task
from submitter.pipeline.road import Remark

_LEAST_TOP_P = 0.95
_LEAST_KEPT = 512
"""Tokens, at the models that keep the shortest (the prompt caching guide); a token has one byte or more."""
_DRAWS_ITSELF = re.compile(r"gpt-[56]|o\d")
_NO_JSON = ("xml", "delimited", "regex")


def message_remarks(
    values: Mapping[str, Any], read: Mapping[str, Any], task: Task, model: str, output: tuple[Column, ...]
) -> Iterator[Remark]:
    """Remarks on the parameters that a task takes; `model` is the provider's name of it.

    `read`: the options that say how an answer is taken apart.
    """
    thinking, described = values.get("batch.thinking"), _described(read)
    # Several texts are a list, which is asked for as columns are.
    is_plain = is_text(output) and read.get("batch.size", 1) == 1
    way = values.get("batch.structured-output") or ("schema" if takes_schemas(task, model) else "tool")
    calls_tool = way == "tool" and not is_plain and described is None
    if thinking not in (None, "disabled"):
        yield from _of_thinking(values, thinking)
        # With 'adaptive' it can: it then calls the tool without a thought.
        if calls_tool and isinstance(thinking, int):
            message = "a model that thinks can't be made to call a tool, by which its columns would be asked for"
            yield Remark("batch.thinking", f"{message}: leave it out, or set 'batch.structured-output' = 'none'")
    if task == "messages" and "batch.prompt-cache" in values:
        yield from _of_cache(values.get("system-prompt") or "", calls_tool=calls_tool)
    if task == "messages":
        yield from claude_remarks(values, model, calls_tool=calls_tool)
    elif _DRAWS_ITSELF.match(model):
        yield from _of_sampling(values, model)
    form = read.get("batch.response.format")
    if values.get("response-format") == "json_object" and form in _NO_JSON:
        message = f"the provider would be made to answer in JSON, and '{form}' is read: leave one of the two out"
        yield Remark("response-format", message)
    yield from _of_columns(values, described, task, is_plain=is_plain)


def _of_cache(prompt: str, *, calls_tool: bool) -> Iterator[Remark]:
    """What is kept is the system prompt, and the tool that stands before it."""
    if not prompt:
        yield Remark("batch.prompt-cache", "there is no 'system-prompt' that could be kept: give one, or leave it out")
    elif len(prompt.encode()) < _LEAST_KEPT and not calls_tool:
        message = f"'system-prompt' has fewer than {_LEAST_KEPT} tokens, below which no Claude model keeps one"
        yield Remark("batch.prompt-cache", message, is_fault=False)


def _of_sampling(values: Mapping[str, Any], model: str) -> Iterator[Remark]:
    """What a reasoning model of OpenAI's refuses; a warning: some take it where they are told not to reason."""
    for name in ("temperature", "top-p"):
        if values.get(name) not in (None, 1):
            message = f"OpenAI's reasoning models, such as '{model}', refuse another than 1: leave it out"
            yield Remark(name, message, is_fault=False)


def _of_columns(values: Mapping[str, Any], described: str | None, task: Task, *, is_plain: bool) -> Iterator[Remark]:
    """Whether columns are asked for as they are to be."""
    way = values.get("batch.structured-output")
    if way == "tool" and task == "responses":
        yield Remark("batch.structured-output", "at /v1/responses columns are asked for by a schema: leave it out")
    if way is None:
        return
    message = None
    if is_plain:
        message = "it has no meaning for an answer that is one STRING"
    elif described is not None:
        message = f"it has no meaning with {described}: the prompt says what the answer looks like"
    elif "response-format" in values:
        message = "it has no meaning beside 'response-format', which is sent in its place"
    if message is not None:
        yield Remark("batch.structured-output", message, is_fault=False)


def _described(read: Mapping[str, Any]) -> str | None:
    """The option for whose sake the prompt alone says what an answer looks like; None where a schema can."""
    form = read.get("batch.response.format")
    if form in _NO_JSON:
        return f"'batch.response.format' = '{form}'"
    return "'batch.response.path'" if read.get("batch.response.path") is not None else None


def _of_thinking(values: Mapping[str, Any], thinking: Any) -> Iterator[Remark]:
    limit = values.get("max-tokens")
    if isinstance(thinking, int) and limit is not None and limit <= thinking:
        message = f"thinking takes up to {thinking} of the tokens of 'max-tokens', {limit}: give the answer more room"
        yield Remark("batch.thinking", message)
    if values.get("temperature", 1) != 1:
        yield Remark("temperature", "a model that thinks has the temperature 1: leave it out, or 'batch.thinking'")
    if values.get("top-p", 1) < _LEAST_TOP_P:
        yield Remark("top-p", f"a model that thinks takes {_LEAST_TOP_P} to 1: leave it out, or 'batch.thinking'")
