"""Tables and models as Flink's catalog has them. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.definition import Column, SqlType
from submitter.sql import INTERNAL

Identifier = tuple[str, str, str]
"""Catalog, database, name."""


@dataclass(frozen=True)
class CatalogColumn:
    """A column of a table, or of a model's INPUT or OUTPUT."""

    name: str
    type: SqlType
    sql: str
    """The type as Flink prints it, to be read back by Flink."""
    comment: str | None = None
    kind: Literal["physical", "metadata", "computed"] = "physical"
    persisted: bool = True
    """Whether an INSERT writes it."""
    metadata_key: str | None = None

    @property
    def column(self) -> Column:
        return Column(name=self.name, type=self.type, comment=self.comment)


@dataclass(frozen=True)
class CatalogTable:
    """A table or view, resolved."""

    identifier: Identifier
    view: bool
    options: Mapping[str, str]
    columns: tuple[CatalogColumn, ...]

    @property
    def quoted(self) -> str:
        return quoted(self.identifier)

    @property
    def name(self) -> str:
        return self.identifier[2]

    @property
    def connector(self) -> str | None:
        return self.options.get("connector")

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata columns: key to name."""
        return {column.metadata_key: column.name for column in self.columns if column.metadata_key is not None}


@dataclass(frozen=True)
class CatalogModel:
    """A model, resolved."""

    identifier: Identifier
    options: Mapping[str, str]
    input: tuple[CatalogColumn, ...]
    output: tuple[CatalogColumn, ...]

    @property
    def name(self) -> str:
        """As the user has it; one that is registered for a while only has a prefix of ours."""
        return self.identifier[2].removeprefix(INTERNAL)


def quoted(parts: tuple[str, ...]) -> str:
    """An identifier as SQL writes it."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)
