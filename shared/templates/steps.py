"""Filters of our own in a template's syntax tree, where Jinja's sandbox has no hook, such as loops and `~`."""

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from shared.templates.meter import STEP

TAKEN, WEIGHED, COMPARED = " step", " weighed", " compared"
"""Names that no template can write: a body's run, a value that is looked through, one that is compared."""


class Steps(NodeTransformer):
    """Puts our own filters where the sandbox has no hook: loops, macros, `~`, comparisons, slices."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        if node.test is not None:
            node.test = nodes.And(_step(node, 0), node.test, lineno=node.lineno)
        return _stepping(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        return _stepping(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        return _stepping(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        node.nodes = [_through(WEIGHED, each) for each in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        node.expr = _through(COMPARED, node.expr)
        for operand in node.ops:
            operand.expr = _through(COMPARED, operand.expr)
        return node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        for pair in node.items:
            pair.key = _through(WEIGHED, pair.key)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 the library's own
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through(WEIGHED, node.node)
        return node


def _stepping(node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
    """A body that charges each of its runs, with all the text that stands in it."""
    said = [each.data for each in node.find_all(nodes.TemplateData)]
    said += [str(each.value) for each in node.find_all(nodes.Const)]
    node.body.insert(0, nodes.ExprStmt(_step(node, sum(map(len, said))), lineno=node.lineno))
    return node


def _step(node: nodes.Node, size: int) -> nodes.Expr:
    return nodes.Filter(nodes.Const(STEP + size), TAKEN, [], [], None, None, lineno=node.lineno)


def _through(name: str, node: nodes.Expr) -> nodes.Expr:
    if isinstance(node, nodes.Const):
        return node
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
