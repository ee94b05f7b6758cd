"""Columns of type VARIANT, which the JSON format of Flink 2.3 can neither read nor write. Pure."""

from collections.abc import Iterable, Sequence

from shared.definition import SqlType
from submitter.pipeline.catalog_values import CatalogColumn

ROOT = "VARIANT"


def variants(columns: Sequence[CatalogColumn]) -> list[str]:
    """The names of the columns that are VARIANTs, or hold some."""
    return [column.name for column in columns if _holds(column.type)]


def input_faults(columns: Sequence[CatalogColumn], table: str) -> list[str]:
    """What to say of an input with such columns."""
    return [
        f"column '{name}' of {table} is a VARIANT, which Flink's JSON can't hold: read a view that leaves it out, "
        f"or has JSON_STRING({name}) in its place"
        for name in variants(columns)
    ]


def _holds(type_: SqlType) -> bool:
    inner: Iterable[SqlType | None] = (type_.element, type_.key, *(field.type for field in type_.fields))
    return type_.root == ROOT or any(each is not None and _holds(each) for each in inner)
