"""CAST above ML_PREDICT: which casts are possible outside of Flink (for `check`), and how they are done. Pure.

A value is what Flink's JSON format writes: temporal types as SQL text, BYTES as base64, a DOUBLE without digits as NaN.
What needs the session's time zone is not possible.
"""

from shared.definition import SqlType
from shared.errors import BatchlineError
from shared.scalar_casts import TEXTS, Cast, same_root, scalar

__all__ = ["Cast", "UnsupportedCast", "caster", "nullable", "same", "supported"]


class UnsupportedCast(BatchlineError):
    """A CAST that is not done here; write it in a second Flink query over the results."""


def supported(source: SqlType, target: SqlType) -> bool:
    """Whether a value can be cast from one type to the other without Flink."""
    try:
        caster(source, target)
    except UnsupportedCast:
        return False
    return True


def same(source: SqlType, target: SqlType) -> bool:
    """Whether two types differ at most in what may be NULL, and in comments."""
    return _bare(source) == _bare(target)


def caster(source: SqlType, target: SqlType) -> Cast | None:
    """The function that casts values of one type to another; None where a value stays as it is.

    Text that is longer than the target is cut, a number beyond a DECIMAL becomes None, as Flink does. The function
    raises ValueError for a value that can't be cast. Raises UnsupportedCast.
    """
    if same(source, target):
        return None
    nested = source.element or source.fields or target.element or target.fields
    if source.root == target.root and not nested:
        return same_root(source, target)
    cast = _nested(source, target) if nested else scalar(source, target)
    if cast is None:
        raise UnsupportedCast(f"CAST from {source.root} to {target.root} is not done above ML_PREDICT")
    return cast


def nullable(cast: Cast | None) -> Cast | None:
    """The cast, which leaves None as it is."""
    if cast is None:
        return None
    return lambda value: None if value is None else cast(value)


def _nested(source: SqlType, target: SqlType) -> Cast | None:
    if source.root != target.root:
        return None
    if source.root == "ROW" and len(source.fields) == len(target.fields):
        return _row(source, target)
    if source.element is None or target.element is None:
        return None
    element = nullable(caster(source.element, target.element))
    if source.root == "ARRAY":
        return (lambda value: [element(item) for item in value]) if element else list
    if source.key and target.key and not (source.key.root in TEXTS and same(source.key, target.key)):
        return None
    return (lambda value: {name: element(item) for name, item in value.items()}) if element else dict


def _row(source: SqlType, target: SqlType) -> Cast:
    fields = [
        (given.name, wanted.name, nullable(caster(given.type, wanted.type)))
        for given, wanted in zip(source.fields, target.fields, strict=True)
    ]
    return lambda value: {
        wanted: cast(value.get(given)) if cast else value.get(given) for given, wanted, cast in fields
    }


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
