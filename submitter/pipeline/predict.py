"""The syntax tree of an INSERT: whether ML_PREDICT stands in it, what is asked of it, and with which options."""

from dataclasses import dataclass
from typing import Any

from py4j.java_gateway import get_field

from submitter.pipeline.flink import Reflection
from submitter.pipeline.overrides import Part
from submitter.pipeline.projection import TWO_STEPS
from submitter.pipeline.script import walk

_ARGUMENTS = ("INPUT", "MODEL", "ARGS", "CONFIG")
"""The names of ML_PREDICT's arguments, in their order."""
_WRITTEN = "write ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c, …)), and MAP['option', 'value', …] behind it if need be"
_CLAUSES = {
    "getWhere": "WHERE",
    "getGroup": "GROUP BY",
    "getHaving": "HAVING",
    "getQualify": "QUALIFY",
}


class NotOurs(ValueError):
    """A query that we don't compile; the message says why, and what to write."""


@dataclass(frozen=True)
class Predict:
    """`INSERT INTO … SELECT … FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(c, …))`, taken apart."""

    table: tuple[str, ...]
    model: tuple[str, ...]
    descriptor: tuple[str, ...]
    line: int
    """Of the call."""
    config: tuple[Part, ...] = ()
    """What stands in its MAP."""


def predict_calls(tree: Any, flink: Reflection) -> list[Any]:
    """The calls of ML_PREDICT in a syntax tree."""
    return [each for each in walk(tree, flink) if _is_predict(each)]


def read_predict(insert: Any, flink: Reflection) -> Predict:
    """What an INSERT with ML_PREDICT asks. Raises NotOurs."""
    if insert.isOverwrite() or not insert.getStaticPartitions().isEmpty():
        raise NotOurs("a Kafka sink knows neither OVERWRITE nor PARTITION: write a plain INSERT INTO")
    select = insert.getSource()
    if select.getClass().getSimpleName() != "SqlSelect":
        raise NotOurs(f"ML_PREDICT may stand only in the FROM of a plain SELECT: {TWO_STEPS}")
    present = [word for getter, word in _CLAUSES.items() if getattr(select, getter)() is not None]
    present += ["DISTINCT"] if select.isDistinct() else []
    if present or not select.getWindowList().isEmpty():
        raise NotOurs(f"{' and '.join(present) or 'WINDOW'} can't stand above ML_PREDICT: {TWO_STEPS}")
    call = _call(select.getFrom())
    if call is None or len(predict_calls(insert, flink)) != 1:
        raise NotOurs(f"ML_PREDICT must be all that the FROM holds, once: {TWO_STEPS}")
    return _arguments(call, flink)


def put_stand_in(insert: Any, stand_in: str, flink: Reflection) -> None:
    """Let the query read a table in ML_PREDICT's place; an alias stays."""
    select = insert.getSource()
    source = select.getFrom()
    position = source.getParserPosition()
    name = flink.new("org.apache.calcite.sql.SqlIdentifier", stand_in, position)
    if str(source.getKind().toString()) == "AS":
        source.setOperand(0, name)
    else:
        select.setFrom(name)


def put_sink(insert: Any, stand_in: str, flink: Reflection) -> None:
    """Let an INSERT write another table."""
    position = insert.getTargetTable().getParserPosition()
    name = flink.new("org.apache.calcite.sql.SqlIdentifier", stand_in, position)
    insert.setOperand(1, name)
    flink.set_field(insert, "targetTableID", name)


def names_of(identifier: Any) -> tuple[str, ...]:
    """The parts of an identifier."""
    return tuple(str(part) for part in get_field(identifier, "names"))


def _is_predict(node: Any) -> bool:
    if node.getClass().getSimpleName() != "SqlBasicCall":
        return False
    return str(node.getOperator().getName()).upper() == "ML_PREDICT"


def _call(source: Any) -> Any | None:
    """The ML_PREDICT call below an alias, LATERAL and TABLE(…)."""
    while source is not None and not _is_predict(source):
        if str(source.getKind().toString()) not in ("AS", "LATERAL", "COLLECTION_TABLE"):
            return None
        source = source.getOperandList().get(0)
    return source


def _arguments(call: Any, flink: Reflection) -> Predict:
    given: dict[str, Any] = {}
    for index, operand in enumerate(flink.operands(call)):
        if str(operand.getKind().toString()) == "ARGUMENT_ASSIGNMENT":
            value, name = flink.operands(operand)
            argument = str(name.toString()).strip("`").upper()
            if argument in given:
                raise NotOurs(f"ML_PREDICT has {argument} twice: {_WRITTEN}")
            given[argument] = value
        elif index < len(_ARGUMENTS):
            given[_ARGUMENTS[index]] = operand
        else:
            raise NotOurs(f"ML_PREDICT has too many arguments: {_WRITTEN}")
    unknown = sorted(given.keys() - set(_ARGUMENTS))
    missing = [name for name in _ARGUMENTS[:3] if name not in given]
    if unknown or missing:
        wrong = f"has no argument {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise NotOurs(f"ML_PREDICT {wrong}: {_WRITTEN}")
    return Predict(
        table=_named(given["INPUT"], "EXPLICIT_TABLE", "a view: CREATE VIEW v AS …, then TABLE v", flink),
        model=_model(given["MODEL"], flink),
        descriptor=_descriptor(given["ARGS"], flink),
        line=_line(call),
        config=_config(given["CONFIG"], flink) if "CONFIG" in given else (),
    )


def _config(node: Any, flink: Reflection) -> tuple[Part, ...]:
    if str(node.getKind().toString()) != "MAP_VALUE_CONSTRUCTOR":
        raise NotOurs("ML_PREDICT takes the query's options as MAP['option', 'value', …]")
    return tuple(Part(_text(each), _line(each)) for each in flink.operands(node))


def _text(node: Any) -> str | None:
    """What a string literal stands for."""
    is_literal = node.getClass().getSimpleName() == "SqlCharStringLiteral"
    return str(node.toValue()) if is_literal else None


def _line(node: Any) -> int:
    return int(node.getParserPosition().getLineNum())


def _named(node: Any, kind: str, instead: str, flink: Reflection) -> tuple[str, ...]:
    if str(node.getKind().toString()) == kind:
        (inner,) = flink.operands(node)[:1]
        if inner.getClass().getSimpleName() == "SqlIdentifier":
            return names_of(inner)
    raise NotOurs(f"ML_PREDICT reads a table or view by its name; write {instead}")


def _model(node: Any, flink: Reflection) -> tuple[str, ...]:
    if node.getClass().getSimpleName() != "SqlExplicitModelCall":
        raise NotOurs("ML_PREDICT takes a model by its name: MODEL m")
    return names_of(flink.operands(node)[0])


def _descriptor(node: Any, flink: Reflection) -> tuple[str, ...]:
    if node.getClass().getSimpleName() == "SqlBasicCall" and str(node.getOperator().getName()).upper() == "DESCRIPTOR":
        columns = flink.operands(node)
        if columns and all(column.getClass().getSimpleName() == "SqlIdentifier" for column in columns):
            return tuple(names_of(column)[-1] for column in columns)
    raise NotOurs("ML_PREDICT takes the input's columns by their names: DESCRIPTOR(c, …)")
