"""A model's `batch.prompt`: whether its template can be rendered from the model's INPUT columns. Pure."""

from collections.abc import Iterator, Sequence

from jinja2 import TemplateSyntaxError, meta, nodes

from shared.packed import RESERVED
from shared.templates import REFUSED, Templates
from submitter.pipeline.faults import nearest

_MESSAGE = 300
_RECORDS = "records"


def names_indexes(text: str) -> bool:
    """Whether a template over `records`, which can be parsed, tells the model each record's number."""
    tree = Templates().parse(text)
    fields, targets = [name for _, name, _ in _fields(tree)], _targets(tree)
    names = [each.name for each in tree.find_all(nodes.Name) if each.ctx == "load"]
    loops = sum(map(_is_over_records, tree.find_all(nodes.For)))
    # A record, or all of them, that is taken as a whole may bring its index along.
    is_whole = sum(name in targets for name in names) > len(fields) or names.count(_RECORDS) > loops
    counts = any(each.attr.startswith(RESERVED) for each in tree.find_all(nodes.Getattr))
    return is_whole or counts or any(name == RESERVED or hasattr(dict, name) for name in fields)


def _wrong_fields(tree: nodes.Template, known: Sequence[str]) -> Iterator[str]:
    told = set[str]()
    for owner, name, line in _fields(tree):
        if name not in known and not hasattr(dict, name) and name not in told:
            told.add(name)
            has = ", ".join(known)
            yield f"line {line} of the template: '{owner}' has no '{name}'{nearest(name, known)} (it has {has})"


def _fields(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    """What is taken of single records: by which variable, the field's name, and the line."""
    targets = _targets(tree)
    taken: list[nodes.Getattr | nodes.Getitem] = [*tree.find_all(nodes.Getattr), *tree.find_all(nodes.Getitem)]
    for each in taken:
        owner = each.node
        name = each.attr if isinstance(each, nodes.Getattr) else getattr(each.arg, "value", None)
        if isinstance(owner, nodes.Name) and owner.name in targets and isinstance(name, str):
            yield owner.name, name, each.lineno


def _targets(tree: nodes.Template) -> set[str]:
    """The variables that are a record, one after another."""
    return {
        each.target.name
        for each in tree.find_all(nodes.For)
        if _is_over_records(each) and isinstance(each.target, nodes.Name)
    }


def _is_over_records(loop: nodes.For) -> bool:
    return isinstance(loop.iter, nodes.Name) and loop.iter.name == _RECORDS


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
        unknown = [
            f"'{name}' is unknown where 'batch.size' is not 1: go over `records`, each with index, {listed}"
            for name in sorted(named - {_RECORDS} - set(templates.globals))
        ]
        if not unknown and _RECORDS not in named:
            unknown = [
                f"it names no `records`, so that no record would be in it: go over them, each with index, {listed}"
            ]
        return [*refused, *unknown, *_wrong_fields(tree, [RESERVED, *columns])]
    unknown = sorted(named - set(columns) - set(templates.globals))
    return refused + [
        f"'{name}' is no INPUT column of the model{nearest(name, columns)} (it has {listed})" for name in unknown
    ]
