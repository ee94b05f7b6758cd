"""Whether the options of a model that thinks, keeps its prompt or answers through a tool fit together. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.definition import Column
from shared.providers.bodies import takes_schemas
from shared.schema import is_text
from submitter.pipeline.endpoint import Task
from submitter.pipeline.road import Remark

_LEAST_TOP_P = 0.95


def message_remarks(values: Mapping[str, Any], task: Task, model: str, output: tuple[Column, ...]) -> Iterator[Remark]:
    """Remarks on the parameters that a task takes; `model` is the provider's name of it."""
    thinking = values.get("batch.thinking")
    if thinking not in (None, "disabled"):
        yield from _of_thinking(values, thinking)
        way = values.get("batch.structured-output") or ("schema" if takes_schemas(task, model) else "tool")
        if way == "tool" and not is_text(output):
            message = "a model that thinks can't be made to call a tool, by which its columns would be asked for"
            yield Remark("batch.thinking", f"{message}: leave it out, or set 'batch.structured-output' = 'none'")
    if "batch.prompt-cache" in values and not values.get("system-prompt"):
        yield Remark("batch.prompt-cache", "there is no 'system-prompt' that could be kept: give one, or leave it out")
    way = values.get("batch.structured-output")
    if way == "tool" and task == "responses":
        yield Remark("batch.structured-output", "at /v1/responses columns are asked for by a schema: leave it out")
    if way is not None and is_text(output):
        message = "it has no meaning for an answer that is one STRING"
        yield Remark("batch.structured-output", message, is_fault=False)


def _of_thinking(values: Mapping[str, Any], thinking: Any) -> Iterator[Remark]:
    limit = values.get("max-tokens")
    if isinstance(thinking, int) and limit is not None and limit <= thinking:
        message = f"thinking takes up to {thinking} of the tokens of 'max-tokens', {limit}: give the answer more room"
        yield Remark("batch.thinking", message)
    if values.get("temperature", 1) != 1:
        yield Remark("temperature", "a model that thinks has the temperature 1: leave it out, or 'batch.thinking'")
    if values.get("top-p", 1) < _LEAST_TOP_P:
        yield Remark("top-p", f"a model that thinks takes {_LEAST_TOP_P} to 1: leave it out, or 'batch.thinking'")
