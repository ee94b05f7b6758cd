"""A model's `batch.prompt`: whether its template can be rendered from the model's INPUT columns. Pure."""

from collections.abc import Sequence

from jinja2 import TemplateSyntaxError, meta, nodes

from shared.templates import REFUSED, Templates
from submitter.pipeline.faults import nearest

_MESSAGE = 300


def template_faults(text: str, columns: Sequence[str], *, is_packed: bool = False) -> list[str]:
    """What is wrong with a template: its syntax, what no rendering may do, or names that are no INPUT columns.

    `is_packed`: it goes over `records`, which have the columns.
    """
    templates = Templates()
    try:
        tree = templates.parse(text)
        templates.from_string(text)
        named = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        return [f"line {error.lineno} of the template: {error.message}"]
    except RecursionError:
        return ["the template can't be used: it is nested too deeply"]
    except Exception as error:  # noqa: BLE001 - Python's compiler has bounds of its own, and each says so differently
        return [f"the template can't be used: {str(error)[:_MESSAGE] or type(error).__name__}"]
    listed = ", ".join(columns)
    refused = [
        f"line {each.lineno} of the template: the filter '{each.name}' can't be used in a prompt"
        for each in tree.find_all(nodes.Filter)
        if each.name in REFUSED
    ]
    if is_packed:
        return refused + [
            f"'{name}' is unknown where 'batch.size' is not 1: go over `records`, each with index, {listed}"
            for name in sorted(named - {"records"} - set(templates.globals))
        ]
    unknown = sorted(named - set(columns) - set(templates.globals))
    return refused + [
        f"'{name}' is no INPUT column of the model{nearest(name, columns)} (it has {listed})" for name in unknown
    ]
