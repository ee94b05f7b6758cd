"""Values, their types and what they are cast to: what Flink's own CAST is asked, and ours."""

from decimal import Decimal
from typing import Any

from shared.definition import SqlType

STRING = SqlType(root="VARCHAR", length=2**31 - 1)


def sql(type_: SqlType) -> str:
    """A scalar type as DDL writes it."""
    names = {
        "INTEGER": "INT",
        "TIME_WITHOUT_TIME_ZONE": "TIME",
        "TIMESTAMP_WITHOUT_TIME_ZONE": "TIMESTAMP",
        "TIMESTAMP_WITH_LOCAL_TIME_ZONE": "TIMESTAMP_LTZ",
    }
    name = names.get(type_.root, type_.root)
    if type_.root == "DECIMAL":
        return f"DECIMAL({type_.precision}, {type_.scale})"
    size = type_.length if type_.length is not None else type_.precision
    return name if size is None else f"{name}({size})"


def of(root: str, size: int | None = None, scale: int | None = None) -> SqlType:
    """A scalar type from its root and its length or precision."""
    if root in ("CHAR", "VARCHAR", "BINARY", "VARBINARY"):
        return SqlType(root=root, length=size or 2**31 - 1)
    return SqlType(root=root, precision=size, scale=scale)


INTEGERS = [of("TINYINT"), of("SMALLINT"), of("INTEGER"), of("BIGINT")]
FLOATS = [of("FLOAT"), of("DOUBLE")]
DECIMALS = [of("DECIMAL", 10, 2), of("DECIMAL", 38, 18), of("DECIMAL", 5, 0)]
NUMBERS = [*INTEGERS, *FLOATS, *DECIMALS]
TEXTS = [STRING, of("VARCHAR", 3), of("CHAR", 6)]
TIMESTAMPS = [
    of("TIMESTAMP_WITHOUT_TIME_ZONE", 3),
    of("TIMESTAMP_WITHOUT_TIME_ZONE", 9),
    of("TIMESTAMP_WITHOUT_TIME_ZONE", 0),
]
DATE, TIME = of("DATE"), of("TIME_WITHOUT_TIME_ZONE", 0)

CASES: list[tuple[SqlType, list[Any], list[SqlType]]] = [
    (
        STRING,
        ["12", " 7 ", "-1.9", "+3", "300", "abc", "", "1e3", "2.5e-3", "99999999999", "NaN", ".5", "5."],
        [*NUMBERS, of("BOOLEAN"), *TEXTS, of("VARBINARY")],
    ),
    (STRING, ["true", " YES ", "f", "0", "1", "No", "t", "on"], [of("BOOLEAN")]),
    (
        STRING,
        [
            "2024-02-29",
            "2024-1-5",
            "2023-02-29",
            "10:11:12",
            "10:11",
            "2024-02-29 10:11:12.123456789",
            "25:00:00",
            "2024-02-29T10:11:12",
            "2024-02-29 10:11",
            "x",
        ],
        [DATE, TIME, *TIMESTAMPS],
    ),
    (of("BOOLEAN"), [True, False], [*NUMBERS, *TEXTS]),
    (of("BIGINT"), [0, 1, -129, 40000, 3_000_000_000, -(2**63), 2**63 - 1], [*NUMBERS, of("BOOLEAN"), *TEXTS]),
    (of("TINYINT"), [5, -128], [*NUMBERS, of("BOOLEAN"), *TEXTS]),
    (
        of("DOUBLE"),
        [0.0, -0.0, 1.5, -2.5, 0.1, 1e10, 1e-5, 1234567.0, 12345678.9, 3e9, 1e300, 0.001, 123.456],
        [*NUMBERS, of("BOOLEAN"), *TEXTS],
    ),
    (of("FLOAT"), [0.1, 1.5, 3.4e38, 16777216.0, 1e-3], [*NUMBERS, *TEXTS]),
    (
        of("DECIMAL", 20, 4),
        [
            Decimal("1.5000"),
            Decimal("-2.5555"),
            Decimal("1234567890123456.7890"),
            Decimal("0.0000"),
            Decimal("99999.5"),
        ],
        [*NUMBERS, of("BOOLEAN"), *TEXTS],
    ),
    (DATE, ["2024-02-29", "1969-12-31"], [*TEXTS, *TIMESTAMPS, DATE]),
    (TIME, ["10:11:12", "00:00:00"], [*TEXTS, TIME]),
    (
        of("TIMESTAMP_WITHOUT_TIME_ZONE", 9),
        ["2024-02-29 10:11:12.123456789", "2024-02-29 10:11:12", "2024-02-29 10:11:12.5"],
        [*TEXTS, *TIMESTAMPS, DATE, TIME],
    ),
    (of("TIMESTAMP_WITHOUT_TIME_ZONE", 3), ["2024-02-29 10:11:12.12"], [STRING, *TIMESTAMPS]),
    (
        of("TIMESTAMP_WITH_LOCAL_TIME_ZONE", 9),
        ["2024-02-29 10:11:12.123456789Z"],
        [of("TIMESTAMP_WITH_LOCAL_TIME_ZONE", 3)],
    ),
    (of("VARBINARY"), ["aGVsbG8=", "/w=="], [*TEXTS, of("BINARY", 3), of("VARBINARY", 2)]),
]
