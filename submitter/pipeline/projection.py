"""The SELECT above ML_PREDICT, from Flink's compiled plan: columns, literals and casts of them; nothing else. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from shared.casts import supported
from shared.definition import Column, Projected, SqlType
from submitter.pipeline.catalog_values import CatalogTable

TypeOf = Callable[[Any], SqlType]
"""Reads a type as a plan writes it. Raises ValueError for one that has no plain form."""
_CALENDAR = ("DATE", "TIME_WITHOUT_TIME_ZONE", "TIMESTAMP_WITHOUT_TIME_ZONE")
_AS_PLANNED = frozenset(["CHAR", "VARCHAR", "BOOLEAN", "DECIMAL", "BINARY", "VARBINARY", *_CALENDAR])
_INTEGERS = frozenset(["TINYINT", "SMALLINT", "INTEGER", "BIGINT"])
TWO_STEPS = (
    "only columns, literals, aliases and CAST may stand above ML_PREDICT; for more, send the results as they are into "
    "a Kafka table, and add a second, plain query: INSERT INTO refined SELECT … FROM results WHERE …"
)


class BeyondUs(ValueError):
    """A projection that only Flink could compute; the message says which part."""


@dataclass(frozen=True)
class Scope:
    """What the projection may refer to: the stand-in's columns, those of the input first, the extra ones last."""

    input: tuple[Column, ...]
    output: tuple[Column, ...]
    extra: tuple[Column, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The output columns that stand for an extra one: name to that one's."""

    def at(self, index: int) -> tuple[Literal["input", "output", "extra"], Column]:
        """('input', 'output' or 'extra', the column) of a plan's field."""
        inputs, outputs = len(self.input), len(self.output)
        if index < inputs:
            return "input", self.input[index]
        if index >= inputs + outputs:
            return "extra", self.extra[index - inputs - outputs]
        column = self.output[index - inputs]
        if column.name in self.metadata:
            return "extra", column.model_copy(update={"name": self.metadata[column.name]})
        return "output", column


def targets(plan: Mapping[str, Any], table: CatalogTable) -> tuple[Column, ...]:
    """The columns that the plan's sink writes, in its order: the physical ones, then its metadata."""
    sink = next(node for node in plan["nodes"] if _kind(node) == "sink")
    abilities = sink["dynamicTableSink"].get("abilities") or []
    keys = [key for ability in abilities if ability["type"] == "WritingMetadata" for key in ability["metadataKeys"]]
    by_key = {column.metadata_key: column for column in table.columns if column.persisted}
    physical = [column for column in table.columns if column.kind == "physical"]
    return tuple(column.column for column in [*physical, *(by_key[key] for key in keys)])


def projection(
    plan: Mapping[str, Any], targets: Sequence[Column], scope: Scope, type_of: TypeOf
) -> tuple[tuple[Projected, ...], list[str]]:
    """What each of `targets`, the sink's written columns, takes; and what is wrong with some of them.

    `plan` is the JSON of COMPILE PLAN. Raises BeyondUs where the plan has more than a scan, a projection and a sink.
    """
    nodes = {kind: node for node in plan["nodes"] for kind in [_kind(node)]}
    if set(nodes) - {"table-source-scan", "calc", "sink"} or len(nodes) != len(plan["nodes"]):
        found = ", ".join(sorted(set(nodes) - {"table-source-scan", "calc", "sink"})) or "a second projection"
        raise BeyondUs(f"the query needs more than a projection ({found})")
    calc = nodes.get("calc")
    if calc is not None and calc.get("condition") is not None:
        raise BeyondUs("the query has a condition")
    if calc is None:
        fields: list[dict[str, Any]] = [
            {"kind": "INPUT_REF", "inputIndex": index}
            for index in range(len(scope.input) + len(scope.output) + len(scope.extra))
        ]
    else:
        fields = calc["projection"]
    if len(fields) != len(targets):
        raise BeyondUs(f"the plan has {len(fields)} columns, and the sink {len(targets)}")
    made, wrong = [], []
    for target, expression in zip(targets, fields, strict=True):
        try:
            made.append(_renamed(_projected(target.name, expression, scope, type_of), target.type))
        except ValueError as error:
            wrong.append(f"column '{target.name}': {error}")
    return tuple(made), wrong


def _kind(node: Mapping[str, Any]) -> str:
    """stream-exec-calc_1 → calc."""
    return str(node["type"]).removeprefix("stream-exec-").rpartition("_")[0]


def _projected(name: str, expression: Mapping[str, Any], scope: Scope, type_of: TypeOf) -> Projected:
    casts: list[SqlType] = []
    inner = expression
    while inner["kind"] == "CALL" and inner.get("internalName") == "$CAST$1":
        casts.insert(0, type_of(inner["type"]))
        inner = inner["operands"][0]
    if inner["kind"] == "INPUT_REF":
        source, column = scope.at(inner["inputIndex"])
        return Projected(
            name=name, source=source, column=column.name, type=column.type, casts=_checked(column.type, casts)
        )
    if inner["kind"] == "LITERAL":
        type_ = type_of(inner["type"])
        value = None if inner.get("value") is None else _literal(inner["value"], type_)
        # NULL is NULL under every cast.
        checked = () if value is None else _checked(type_, casts)
        return Projected(name=name, source="literal", literal=value, type=type_, casts=checked)
    called = str(inner.get("internalName") or inner.get("catalogName") or inner["kind"]).strip("$").rpartition("$")
    raise BeyondUs(f"it takes {called[0] or called[2]}")


def _checked(source: SqlType, casts: Sequence[SqlType]) -> tuple[SqlType, ...]:
    """The casts that do something. Raises ValueError for one that can't be computed outside of Flink."""
    kept: list[SqlType] = []
    current = source
    for target in casts:
        if not supported(current, target):
            raise BeyondUs(f"CAST from {_shown(current)} to {_shown(target)} can't be computed here")
        if _bare(current) != _bare(target):
            kept.append(target)
        current = target
    return tuple(kept)


def _bare(type_: SqlType) -> SqlType:
    """The type without what may be NULL, and without comments."""
    fields = tuple(Column(name=field.name, type=_bare(field.type)) for field in type_.fields)
    element, key = (part and _bare(part) for part in (type_.element, type_.key))
    return type_.model_copy(update={"nullable": True, "element": element, "key": key, "fields": fields})


def _renamed(made: Projected, wanted: SqlType) -> Projected:
    """Flink lets a ROW pass whose fields have other names than the sink's; JSON needs the sink's."""
    last = (made.type, *made.casts)[-1]
    if made.source == "literal" or (not wanted.fields and not wanted.element) or _bare(last) == _bare(wanted):
        return made
    return made.model_copy(update={"casts": (*made.casts, *_checked(last, [wanted]))})


def _literal(value: Any, type_: SqlType) -> JsonValue:
    """A literal as `shared.casts` takes values; a DECIMAL as text, so that no digit is lost."""
    if type_.root in _AS_PLANNED:
        return value if isinstance(value, bool) else str(value)
    if type_.root in _INTEGERS:
        return int(value)
    if type_.root in ("FLOAT", "DOUBLE"):
        return float(value)
    raise BeyondUs(f"a literal of type {type_.root} can't be written here; use a string, and CAST")


def _shown(type_: SqlType) -> str:
    if type_.root in ("CHAR", "VARCHAR", "BINARY", "VARBINARY") and type_.length is not None:
        return type_.root if type_.length >= 2**31 - 1 else f"{type_.root}({type_.length})"
    if type_.root == "DECIMAL":
        return f"DECIMAL({type_.precision}, {type_.scale})"
    return type_.root
