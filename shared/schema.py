"""From output columns to the JSON schema that a model is asked to obey. Pure.

It keeps to what the strict modes of both providers take: closed objects, every property required, no keywords for
ranges and lengths (these stand in the description, for the model to read), a MAP or MULTISET as a list of {key, value}.
"""

from collections.abc import Iterable
from typing import Any

from shared.definition import Column, SqlType
from shared.enumerations import allowed, is_listed
from shared.errors import SettingsError

Schema = dict[str, Any]

TEXT = frozenset({"CHAR", "VARCHAR"})
_INTEGERS = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": None,
}
_PLAIN: dict[str, Schema] = {
    "BOOLEAN": {"type": "boolean"},
    "FLOAT": {"type": "number"},
    "DOUBLE": {"type": "number"},
    "BINARY": {"type": "string", "description": "base64"},
    "VARBINARY": {"type": "string", "description": "base64"},
    "DATE": {"type": "string", "format": "date"},
    "TIME_WITHOUT_TIME_ZONE": {"type": "string", "format": "time"},
    "TIMESTAMP_WITHOUT_TIME_ZONE": {"type": "string", "format": "date-time"},
    "TIMESTAMP_WITH_LOCAL_TIME_ZONE": {"type": "string", "format": "date-time"},
    "INTERVAL_YEAR_MONTH": {"type": "integer", "description": "a number of months"},
    "INTERVAL_DAY_TIME": {"type": "integer", "description": "a number of milliseconds"},
}
_EXACT_DIGITS = 15
"""Decimal digits that a double keeps."""
_UNBOUNDED = 2**31 - 1
"""Flink's length of STRING and BYTES."""


def is_text(output: tuple[Column, ...]) -> bool:
    """Whether the answer is taken as plain text: one column, of characters, whose comment lists no values."""
    return len(output) == 1 and output[0].type.root in TEXT and not is_listed(output[0])


def is_embedding(output: tuple[Column, ...]) -> bool:
    """Whether the output can hold an embedding: one column, ARRAY<FLOAT> or ARRAY<DOUBLE>."""
    if len(output) != 1 or output[0].type.root != "ARRAY":
        return False
    element = output[0].type.element
    return element is not None and element.root in ("FLOAT", "DOUBLE")


def answer_schema(output: Iterable[Column]) -> Schema:
    """The JSON schema of an answer that fills these columns.

    Raises SettingsError, which names the column, for a type that JSON can't carry.
    """
    return _object({column.name: _column(column, column.name) for column in output})


_WORDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
_FORMAT_WORDS = {
    "date": "a date, as 2026-01-31",
    "time": "a time, as 13:45:00",
    "date-time": "a time, as 2026-01-31T13:45:00Z",
}


def described_in_words(output: tuple[Column, ...], names: list[str]) -> str:
    """What types and comments say of columns, a line each, for an answer that no schema goes along with.

    `names`: what they are called there. A text of which nothing is said has no line.
    """
    lines = []
    for name, column in zip(names, output, strict=True):
        schema = _column(column, column.name)
        kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
        is_optional = column.type.nullable and kind != "string"
        said = [
            _FORMAT_WORDS.get(schema.get("format", "")) or _WORDS.get(kind),
            "or empty" if is_optional else None,
            # Last, because values that are listed go on to its end.
            " ".join(schema.get("description", "").split()),
        ]
        if any(said):
            lines.append(f'\n"{name}": {", ".join(part for part in said if part)}')
    return "".join(lines)


def without_nulls(schema: Schema) -> Schema:
    """The same schema with nothing nullable, for a provider that limits the number of unions."""
    if "anyOf" in schema:
        chosen = next(branch for branch in schema["anyOf"] if branch.get("type") != "null")
        described = {key: value for key, value in schema.items() if key == "description"}
        return {**without_nulls(chosen), **described}
    plain = dict(schema)
    if isinstance(plain.get("type"), list):
        plain["type"] = plain["type"][0]
    if "enum" in plain:
        plain["enum"] = [value for value in plain["enum"] if value is not None]
    if "items" in plain:
        plain["items"] = without_nulls(plain["items"])
    if "properties" in plain:
        plain["properties"] = {name: without_nulls(part) for name, part in plain["properties"].items()}
    return plain


def unions(schema: Schema) -> int:
    """How many places of a schema take more than one type."""
    own = 1 if "anyOf" in schema or isinstance(schema.get("type"), list) else 0
    below = [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]
    if "items" in schema:
        below.append(schema["items"])
    return own + sum(unions(part) for part in below)


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _column(column: Column, where: str) -> Schema:
    """A column's schema, with what its comment says: what it is, and the values that it may have."""
    schema, values = _of(column.type, where), allowed(column, where)
    if values is not None:
        schema = _listed(schema, list(values))
    return _described(schema, column.comment)


def _listed(schema: Schema, values: list[Any]) -> Schema:
    """A schema with a list of the values that it, or each element, may have."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [_listed(schema["anyOf"][0], values), *schema["anyOf"][1:]]}
    if schema["type"] == "array":
        return {**schema, "items": _listed(schema["items"], values)}
    own = {key: value for key, value in schema.items() if key != "description"}
    return {**own, "enum": [*values, None] if isinstance(schema["type"], list) else values}


def _of(sql: SqlType, where: str) -> Schema:
    schema = _not_null(sql, where)
    if not sql.nullable:
        return schema
    if schema["type"] in ("object", "array"):
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _not_null(sql: SqlType, where: str) -> Schema:
    root = sql.root
    if root in TEXT:
        bounded = sql.length is not None and sql.length < _UNBOUNDED
        return _described({"type": "string"}, f"at most {sql.length} characters" if bounded else None)
    if root in _INTEGERS:
        limits = _INTEGERS[root]
        return _described({"type": "integer"}, f"from {limits[0]} to {limits[1]}" if limits else None)
    if root == "DECIMAL":
        return _decimal(sql)
    if root in _PLAIN:
        return dict(_PLAIN[root])
    return _nested(sql, where)


def _nested(sql: SqlType, where: str) -> Schema:
    if sql.root == "ROW":
        return _object({field.name: _column(field, f"{where}.{field.name}") for field in sql.fields})
    if sql.root == "ARRAY" and sql.element is not None:
        return {"type": "array", "items": _of(sql.element, f"{where}[]")}
    if sql.root == "MAP" and sql.element is not None:
        return _entries(_of(sql.element, f"{where} value"))
    if sql.root == "MULTISET":
        return _entries({"type": "integer", "description": "how often it occurs"})
    later = "use PARSE_JSON" if sql.root == "VARIANT" else "cast it"
    raise SettingsError(
        f"the output column '{where}' has the type {sql.root}, which a model's JSON answer can't carry; "
        f"declare it as STRING and {later} in a second query"
    )


def _entries(value: Schema) -> Schema:
    """A map, whose keys no closed object can name; Flink's JSON format wants them to be strings."""
    return {"type": "array", "items": _object({"key": {"type": "string"}, "value": value})}


def _decimal(sql: SqlType) -> Schema:
    """A number where a double is exact, else a string."""
    precision, scale = sql.precision or 10, sql.scale or 0
    note = f"a decimal number, at most {precision - scale} digits before the point and {scale} after it"
    return {"type": "number" if precision <= _EXACT_DIGITS else "string", "description": note}


def _described(schema: Schema, note: str | None) -> Schema:
    if not note:
        return schema
    known = schema.get("description")
    return {**schema, "description": f"{note} ({known})" if known else note}
