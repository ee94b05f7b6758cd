"""Which options hold for a statement, and who said so: the query, the model, or nobody. Pure."""

from collections.abc import Iterator, Mapping

from shared.definition import Model
from submitter.pipeline.option_table import FORMER, OPTIONS
from submitter.pipeline.options import Declared
from submitter.pipeline.values import Effective


def effective(declared: Declared, model: Model, unresolved: Mapping[str, str]) -> Iterator[Effective]:
    """The options that mean something to this model, in the table's order.

    `unresolved`: a value to what the file has in its place, so that what the environment gives is not shown.
    """
    lines = {FORMER.get(name, name): line for name, line in declared.lines.items()}
    for name, option in OPTIONS.items():
        if model.task not in option.tasks or model.provider not in option.providers:
            continue
        value = declared.effective.get(name, option.default)
        if value is None:
            continue
        if name in declared.query:
            origin = f"query, line {declared.query[name].line}"
        elif name in declared.effective:
            origin = f"model, line {lines[name]}" if name in lines else "model"
        else:
            origin = "default"
        yield Effective(name, unresolved.get(value, value), origin)
