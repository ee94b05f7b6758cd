"""From a row to its prompt: the one input column as it is, several as a JSON object, or the model's own template."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from shared.causes import Cause
from shared.definition import Definition
from shared.errors import BatchlineError

_MESSAGE = 500
Row = Mapping[str, Any]
Prompt = Callable[[Row], str]
"""Gives a row's prompt, or raises Unrenderable."""


class Unrenderable(BatchlineError):
    """A row has no prompt; `cause` is a word of the closed vocabulary, the message is for people."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def prompt_of(definition: Definition) -> Prompt:
    """The function that renders the rows of a statement; made once, used for each row."""
    columns = definition.model.descriptor
    if definition.batch.prompt is not None:
        names = [column.name for column in definition.model.input]
        pairs, render = list(zip(names, columns, strict=True)), template_of(definition.batch.prompt)
        return lambda row: render({name: row[column] for name, column in pairs})
    if len(columns) == 1:
        return _from_column(columns[0])
    return _from_columns({column.name: name for column, name in zip(definition.model.input, columns, strict=True)})


def as_json(value: Any) -> str:
    """A row's value as JSON, every digit of a DECIMAL kept."""
    return orjson.dumps(value, default=_exact).decode()


def _exact(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} is not JSON")


def _from_column(column: str) -> Prompt:
    def prompt(row: Row) -> str:
        value = row[column]
        if type(value) is not str:
            if value is None:
                raise Unrenderable(Cause.NULL_INPUT, f"column '{column}' is NULL")
            value = as_json(value)
        if not value or value.isspace():
            raise Unrenderable(Cause.EMPTY_INPUT, f"column '{column}' is empty")
        return value

    return prompt


def _from_columns(columns: Mapping[str, str]) -> Prompt:
    def prompt(row: Row) -> str:
        values = {name: row[column] for name, column in columns.items()}
        if not any(value is not None for value in values.values()):
            raise Unrenderable(Cause.NULL_INPUT, f"columns {', '.join(columns.values())} are all NULL")
        return as_json(values)

    return prompt


def template_of(text: str) -> Callable[[Mapping[str, Any]], str]:
    """The function that renders a template with its names' values; raises Unrenderable."""
    # Imported where it is used: most statements have no template, and the Flink worker's memory is short.
    from shared.templates import renderer

    render = renderer(text)

    def prompt(values: Mapping[str, Any]) -> str:
        try:
            rendered = render(values)
        except Exception as error:
            # Whatever a template does with a row is that row's own fault.
            said = str(error)[:_MESSAGE] or type(error).__name__
            raise Unrenderable(Cause.RENDER_ERROR, f"batch.prompt can't be rendered for this row: {said}") from error
        if not rendered or rendered.isspace():
            raise Unrenderable(Cause.EMPTY_INPUT, "batch.prompt renders to nothing for this row")
        return rendered

    return prompt
