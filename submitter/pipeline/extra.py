"""The columns besides the answer that a query asks for: `prediction_…` in its SELECT, metadata in a model's OUTPUT.

In SQL Flink lets a model have physical columns only: there a metadata column is one that has the metadata's name.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shared.extras import METADATA, NAMES
from submitter.pipeline.catalog_values import CatalogColumn
from submitter.pipeline.flink import Reflection
from submitter.pipeline.predict import NotOurs, names_of
from submitter.pipeline.script import walk

_HEADERS = "http-headers-map"
"""Metadata of Flink's own provider that a batch has not: its answers come without headers of their own."""
_SQL = {"VARCHAR": "STRING", "INTEGER": "INT"}
_SHORT = {"VARCHAR(2147483647)": "STRING"}


def asked_extras(insert: Any, taken: Sequence[CatalogColumn], flink: Reflection) -> tuple[CatalogColumn, ...]:
    """The extra columns that a SELECT names, unless a column of its own has the name.

    Raises NotOurs where `*` stands beside one: it would bring it a second time.
    """
    own = {column.name for column in taken}
    names = list(_names(insert.getSource().getSelectList(), flink))
    asked = [name for name in NAMES if name in names and name not in own]
    if asked and "" in names:
        raise NotOurs(f"{asked[0]} can't stand beside *: name the columns")
    return tuple(CatalogColumn(name, NAMES[name], _SQL.get(NAMES[name].root, NAMES[name].root)) for name in asked)


def metadata_faults(model: str, input_: Sequence[CatalogColumn], output: Sequence[CatalogColumn]) -> Iterator[str]:
    """What is wrong with the metadata columns of a model."""
    for column in input_:
        if column.metadata_key is not None:
            yield f"the INPUT of model {model} has the metadata column '{column.name}': only OUTPUT can have one"
    for column in output:
        key = _key(column)
        if key is None:
            continue
        known = METADATA.get(key)
        if known is None:
            listed = " and ".join(f"'{each}'" for each in METADATA)
            yield f"OUTPUT column '{column.name}': there is no metadata '{key}' of an answer, only {listed}"
        elif known[1].root != column.type.root:
            wanted, given = _SQL.get(known[1].root, known[1].root), _SHORT.get(column.sql, column.sql)
            yield f"OUTPUT column '{column.name}': metadata '{key}' is {wanted}, and not {given}"


def answered(output: Sequence[CatalogColumn]) -> tuple[CatalogColumn, ...]:
    """The OUTPUT columns that the answer fills."""
    return tuple(column for column in output if _key(column) is None)


def metadata_of(output: Sequence[CatalogColumn]) -> dict[str, str]:
    """The OUTPUT columns that are metadata, and the extra that each stands for."""
    found = ((column.name, METADATA.get(_key(column) or "")) for column in output)
    return {name: known[0] for name, known in found if known is not None}


def _key(column: CatalogColumn) -> str | None:
    """The metadata that a column stands for."""
    return column.metadata_key or (column.name if column.name in METADATA or column.name == _HEADERS else None)


def _names(tree: Any, flink: Reflection) -> Iterator[str]:
    """The last part of each identifier; empty for a star."""
    for each in walk(tree, flink):
        if each.getClass().getSimpleName() == "SqlIdentifier":
            yield names_of(each)[-1]
