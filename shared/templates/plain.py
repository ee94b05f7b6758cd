"""Whether a template is so plain that its time and memory grow with its row alone: it needs no meter, and is faster."""

from jinja2 import nodes

_MOST = 100
"""Names in it: each brings its whole value once."""
_NODES = frozenset(
    (
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.If),
        *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Filter, nodes.Test),
        *(nodes.Concat, nodes.Keyword),
    )
)
_FILTERS = frozenset(("capitalize", "count", "d", "default", "length", "lower", "string", "trim", "truncate", "upper"))
"""Of these no row, and no chain, makes more than a few times of what they are given."""
_TESTS = frozenset(("boolean", "defined", "eq", "false", "mapping", "ne", "none", "number", "sequence", "string"))


def is_plain(tree: nodes.Template) -> bool:
    """Whether every part of it is done at most once, and none makes much of little: no loops, calls or sums."""
    names = 0
    for node in tree.find_all(nodes.Node):
        if type(node) not in _NODES:
            return False
        if isinstance(node, nodes.Filter) and (node.name not in _FILTERS or not _is_by_itself(node)):
            return False
        if isinstance(node, nodes.Test) and (node.name not in _TESTS or not _is_by_itself(node)):
            return False
        names += isinstance(node, nodes.Name)
    return names <= _MOST


def _is_by_itself(node: nodes.Filter | nodes.Test) -> bool:
    """Whether what a filter is told stands in the template."""
    if node.dyn_args is not None or node.dyn_kwargs is not None or (node.name == "trim" and node.args):
        return False
    return all(isinstance(each, nodes.Const) for each in (*node.args, *(pair.value for pair in node.kwargs)))
