"""An answer becomes output values: parsed, validated and cast to the declared OUTPUT columns. Pure, and a hot path.

Values are as JSON carries them (see shared.casts), so that they can be cast and written without another conversion.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from shared import lexical
from shared.causes import Cause
from shared.definition import Column, Model, SqlType
from shared.enumerations import allowed
from shared.errors import BatchlineError
from shared.moderations import with_sql_names
from shared.scalar_casts import DATE, INTEGERS, LOCAL_TIMESTAMP, TIME, TIMESTAMP, UNBOUNDED, precision_of
from shared.schema import is_text

Read = Callable[[bytes], Mapping[str, Any]]
"""Takes an answer's text (or an embedding, as a JSON array); gives the OUTPUT columns by name, or raises Unfit."""


class Unfit(BatchlineError):
    """An answer doesn't give what the OUTPUT columns need; `cause` is a word of the closed vocabulary."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def reader_of(model: Model) -> Read:
    """How a model's answers are read: an embedding, the text itself for one STRING, else a JSON object."""
    columns = model.output
    if model.task == "embeddings":
        return _embedding(columns[0].name, model.parameters.get("dimension"))
    if is_text(columns):
        return _text(columns[0])
    if model.task == "moderations":
        return _moderation(columns)
    return _structured(columns)


def _moderation(columns: tuple[Column, ...]) -> Read:
    read, rows = _structured(columns), [column.name for column in columns if column.type.root == "ROW"]
    return lambda answer: read(orjson.dumps(with_sql_names(orjson.loads(answer), rows)) if rows else answer)


def _embedding(column: str, dimension: object) -> Read:
    def read(answer: bytes) -> Mapping[str, Any]:
        vector = orjson.loads(answer)
        if dimension is not None and len(vector) != dimension:
            message = f"the embedding has {len(vector)} dimensions, and 'dimension' asks for {dimension}"
            raise Unfit(Cause.SCHEMA, message)
        return {column: vector}

    return read


def _text(column: Column) -> Read:
    name, limit = column.name, column.type.length or UNBOUNDED
    fill = limit if column.type.root == "CHAR" else 0

    def read(answer: bytes) -> Mapping[str, Any]:
        text = answer.decode()
        if len(text) > limit:
            raise Unfit(Cause.SCHEMA, f"the answer has {len(text)} characters, column '{name}' holds {limit}")
        return {name: text.ljust(fill) if fill else text}

    return read


def _structured(columns: tuple[Column, ...]) -> Read:
    validate = SchemaValidator(_row(columns)).validate_json

    def read(answer: bytes) -> Mapping[str, Any]:
        try:
            values: Mapping[str, Any] = validate(answer)
        except ValidationError as error:
            raise Unfit(Cause.SCHEMA, _said(error)) from None
        return values

    return read


def _said(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}" for fault in faults[:3]]
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return f"the answer doesn't fit the output columns: {'; '.join(shown)}{more}"


def _row(columns: tuple[Column, ...]) -> CoreSchema:
    return core_schema.typed_dict_schema(
        {column.name: core_schema.typed_dict_field(_column(column)) for column in columns}, total=True
    )


def _column(column: Column) -> CoreSchema:
    values = allowed(column)
    if values is None:
        return _or_null(column.type)
    type_ = column.type
    # As without a list: XML and lines have a number as text, and a model may have a text that looks like one as number.
    is_number = all(isinstance(value, int) for value in values)
    plain = core_schema.int_schema() if is_number else core_schema.str_schema(coerce_numbers_to_str=True)
    chosen = core_schema.chain_schema([plain, core_schema.literal_schema(list(values))])
    if type_.root != "ARRAY" or type_.element is None:
        return _nullable(type_, _filled(type_, chosen))
    return _nullable(type_, core_schema.list_schema(_nullable(type_.element, _filled(type_.element, chosen))))


def _filled(type_: SqlType, schema: CoreSchema) -> CoreSchema:
    """A CHAR has all of its characters."""
    return _then(schema, lambda text: text.ljust(type_.length or 1)) if type_.root == "CHAR" else schema


def _or_null(type_: SqlType) -> CoreSchema:
    return _nullable(type_, _schema(type_))


def _nullable(type_: SqlType, schema: CoreSchema) -> CoreSchema:
    if not type_.nullable:
        return schema
    return core_schema.with_default_schema(core_schema.nullable_schema(schema), default=None)


def _schema(type_: SqlType) -> CoreSchema:
    if type_.root in INTEGERS:
        limit = 1 << (INTEGERS[type_.root] - 1)
        return core_schema.int_schema(ge=-limit, le=limit - 1)
    if type_.root == "ARRAY" and type_.element:
        return core_schema.list_schema(_or_null(type_.element))
    if type_.root == "MAP" and type_.element:
        return _entries(_or_null(type_.element))
    if type_.root == "MULTISET":
        return _entries(core_schema.int_schema(ge=1, le=UNBOUNDED))
    if type_.root == "ROW":
        return _row(type_.fields)
    made = _SCALARS.get(type_.root)
    if made is None:
        raise BatchlineError(f"an OUTPUT column can't have type {type_.root}; declare it as STRING and CAST it later")
    return made(type_)


def _entries(value: CoreSchema) -> CoreSchema:
    """An object, or the list of {key, value} that shared.schema asks for: strict schemas have no open objects."""

    def merge(answer: Any) -> Any:
        if not isinstance(answer, list):
            return answer
        try:
            return {entry["key"]: entry["value"] for entry in answer}
        except (KeyError, TypeError):
            raise ValueError("it is no list of objects with key and value") from None

    return core_schema.no_info_before_validator_function(
        merge, core_schema.dict_schema(core_schema.str_schema(), value)
    )


def _characters(type_: SqlType) -> CoreSchema:
    limit = type_.length or UNBOUNDED
    length = None if limit >= UNBOUNDED else limit
    schema = core_schema.str_schema(max_length=length, coerce_numbers_to_str=True)
    return _then(schema, lambda text: text.ljust(limit)) if type_.root == "CHAR" else schema


def _decimal(type_: SqlType) -> CoreSchema:
    precision, scale = type_.precision or 10, type_.scale or 0

    def fit(value: Decimal) -> Decimal:
        fitted = lexical.decimal_of(value, precision, scale)
        if fitted is None:
            raise ValueError(f"it has more than {precision - scale} digits before the point")
        return fitted

    return core_schema.no_info_after_validator_function(fit, core_schema.decimal_schema())


def _bytes(type_: SqlType) -> CoreSchema:
    limit = type_.length or UNBOUNDED

    def check(text: str) -> str:
        try:
            size = len(base64.b64decode(text, validate=True))
        except binascii.Error:
            raise ValueError("it is not base64") from None
        if size > limit:
            raise ValueError(f"it has {size} bytes, and the column holds {limit}")
        return text

    return _then(core_schema.str_schema(), check)


def _then(schema: CoreSchema, convert: Callable[[str], str]) -> CoreSchema:
    return core_schema.no_info_after_validator_function(convert, schema)


def _temporal(read: Callable[[str, int], str]) -> Callable[[SqlType], CoreSchema]:
    def make(type_: SqlType) -> CoreSchema:
        precision = precision_of(type_)
        return _then(core_schema.str_schema(), lambda text: read(text.replace("T", " "), precision))

    return make


def _instant(text: str, precision: int) -> str:
    """A moment with its offset, as UTC; without one it is UTC. Digits beyond the microsecond are lost."""
    return lexical.timestamp_of(lexical.utc_of(text), precision) + "Z"


_FLOAT = core_schema.float_schema(allow_inf_nan=False, ge=-lexical.LARGEST_FLOAT, le=lexical.LARGEST_FLOAT)
_SCALARS: dict[str, Callable[[SqlType], CoreSchema]] = {
    "CHAR": _characters,
    "VARCHAR": _characters,
    "BOOLEAN": lambda _: core_schema.bool_schema(),
    "FLOAT": lambda _: _FLOAT,
    "DOUBLE": lambda _: core_schema.float_schema(allow_inf_nan=False),
    "DECIMAL": _decimal,
    "BINARY": _bytes,
    "VARBINARY": _bytes,
    DATE: _temporal(lambda text, _: lexical.date_of(text)),
    TIME: _temporal(lambda text, precision: lexical.time_of(text.removesuffix("Z"), precision)),
    TIMESTAMP: _temporal(lambda text, precision: lexical.timestamp_of(text.removesuffix("Z"), precision)),
    LOCAL_TIMESTAMP: _temporal(_instant),
    "INTERVAL_YEAR_MONTH": lambda _: core_schema.int_schema(),
    "INTERVAL_DAY_TIME": lambda _: core_schema.int_schema(),
}
