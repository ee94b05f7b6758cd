from typing import Any

import pytest

from shared.casts import UnsupportedCast, caster, same, supported
from shared.definition import Column, SqlType
from tests.rig.samples import DOUBLE, STRING

INT, BIGINT = SqlType(root="INTEGER"), SqlType(root="BIGINT")
MOMENT = SqlType(root="TIMESTAMP_WITH_LOCAL_TIME_ZONE", precision=3)


def array(element: SqlType) -> SqlType:
    return SqlType(root="ARRAY", element=element)


def row(**fields: SqlType) -> SqlType:
    return SqlType(root="ROW", fields=tuple(Column(name=name, type=type_) for name, type_ in fields.items()))


def map_(element: SqlType, key: SqlType = STRING) -> SqlType:
    return SqlType(root="MAP", key=key, element=element)


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        (array(STRING), array(INT), ["1", None, "2"], [1, None, 2]),
        (row(a=STRING, b=INT), row(x=INT, y=STRING), {"a": "1", "b": 2}, {"x": 1, "y": "2"}),
        (map_(STRING), map_(DOUBLE), {"k": "0.5", "n": None}, {"k": 0.5, "n": None}),
        (array(row(a=STRING)), array(row(a=BIGINT)), [{"a": "7"}], [{"a": 7}]),
    ],
)
def test_what_is_nested_is_cast_element_by_element(source: SqlType, target: SqlType, value: Any, expected: Any) -> None:
    cast = caster(source, target)
    assert cast
    assert cast(value) == expected


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (MOMENT, STRING),
        (STRING, MOMENT),
        (array(INT), STRING),
        (row(a=INT), row(a=INT, b=INT)),
        (map_(INT, INT), map_(STRING, INT)),
        (SqlType(root="DATE"), INT),
    ],
)
def test_what_needs_flink_is_refused(source: SqlType, target: SqlType) -> None:
    assert not supported(source, target)
    with pytest.raises(UnsupportedCast, match=source.root):
        caster(source, target)


def test_nothing_is_done_where_types_differ_in_null_alone() -> None:
    strict = STRING.model_copy(update={"nullable": False})
    assert same(STRING, strict)
    assert caster(array(STRING), array(strict)) is None
