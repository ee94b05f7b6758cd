"""Which of Flink's casts the projection may hold, because we can compute them outside of Flink. Pure."""

from shared.definition import SqlType

TEXT = frozenset({"CHAR", "VARCHAR"})
INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})
NUMERIC = INTEGERS | {"DECIMAL", "FLOAT", "DOUBLE"}
CALENDAR = frozenset({"DATE", "TIME_WITHOUT_TIME_ZONE", "TIMESTAMP_WITHOUT_TIME_ZONE"})
"""What reads the same in every time zone."""
_PRECISE = frozenset(
    {"TIME_WITHOUT_TIME_ZONE", "TIMESTAMP_WITHOUT_TIME_ZONE", "TIMESTAMP_WITH_LOCAL_TIME_ZONE", "BINARY", "VARBINARY"}
)


def supported(source: SqlType, target: SqlType) -> bool:
    """Whether a value can be cast from one type to the other without Flink.

    Text to text (a longer one is cut to the target's length, as Flink's CAST does), numbers to numbers, text to
    numbers, BOOLEAN, DATE, TIME and TIMESTAMP and back; a nested or another type only to itself.
    """
    if same(source, target):
        return True
    roots = source.root, target.root
    if source.root == target.root:
        return source.root in TEXT | NUMERIC or (source.root in _PRECISE and _widens(source, target))
    for one, other in (roots, roots[::-1]):
        if one in TEXT and other in TEXT | NUMERIC | CALENDAR | {"BOOLEAN"}:
            return True
    return source.root in NUMERIC and target.root in NUMERIC


def same(source: SqlType, target: SqlType) -> bool:
    """Whether two types differ at most in what may be NULL, and in comments."""
    return _bare(source) == _bare(target)


def _widens(source: SqlType, target: SqlType) -> bool:
    return (source.precision or 0) <= (target.precision or 0) and (source.length or 0) <= (target.length or 0)


def _bare(type_: SqlType) -> SqlType:
    return type_.model_copy(
        update={
            "nullable": True,
            "element": _bare(type_.element) if type_.element else None,
            "key": _bare(type_.key) if type_.key else None,
            "fields": tuple(
                field.model_copy(update={"type": _bare(field.type), "comment": None}) for field in type_.fields
            ),
        }
    )
