"""Tables and models from Flink's catalogs, by the names that a statement uses; what is missing is a fault."""

from typing import Any

from submitter.pipeline.catalog_values import CatalogColumn, CatalogModel, CatalogTable, Identifier, quoted
from submitter.pipeline.doubts import Doubts
from submitter.pipeline.faults import Faults, Place, nearest
from submitter.pipeline.flink import Reflection, sql_type


class Catalog:
    """Looks things up in the catalog and database that are in use."""

    def __init__(self, flink: Reflection, doubts: Doubts, faults: Faults) -> None:
        self._flink, self._doubts, self._faults = flink, doubts, faults

    def current(self) -> tuple[str, str]:
        """The catalog and database in use."""
        environment = self._flink.environment
        return str(environment.getCurrentCatalog()), str(environment.getCurrentDatabase())

    def qualified(self, names: tuple[str, ...]) -> Identifier:
        identifier = self._flink.identifier(names)
        return str(identifier.getCatalogName()), str(identifier.getDatabaseName()), str(identifier.getObjectName())

    def table(self, names: tuple[str, ...], place: Place) -> CatalogTable | None:
        """A table or view; None, and a fault, where there is none."""
        found = self._flink.catalogs.getTable(self._flink.identifier(names))
        if found.isEmpty():
            self._missing("table", names, self._flink.environment.listTables(), place)
            return None
        resolved = found.get()
        view = str(resolved.getTable().getTableKind()) == "VIEW"
        return CatalogTable(
            identifier=self.qualified(names),
            view=view,
            options={} if view else _strings(resolved.getTable().getOptions()),
            columns=_columns(resolved.getResolvedSchema()),
        )

    def model(self, names: tuple[str, ...], place: Place) -> CatalogModel | None:
        """A model, temporary ones too; None, and a fault, where there is none."""
        found = self._flink.catalogs.getModel(self._flink.identifier(names))
        if found.isEmpty():
            self._missing("model", names, self._flink.environment.listModels(), place)
            return None
        resolved = found.get().getResolvedModel()
        return CatalogModel(
            identifier=self.qualified(names),
            options=_strings(resolved.getOptions()),
            input=_columns(resolved.getResolvedInputSchema()),
            output=_columns(resolved.getResolvedOutputSchema()),
        )

    def _missing(self, what: str, names: tuple[str, ...], known: Any, place: Place) -> None:
        if not self._doubts.covers(names[-1]):
            near = nearest(names[-1], [str(name) for name in known])
            self._faults.add(f"there is no {what} {quoted(names)}{near or ': create it before this statement'}", place)


def _strings(options: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in dict(options).items()}


def _columns(schema: Any) -> tuple[CatalogColumn, ...]:
    return tuple(_column(column) for column in schema.getColumns())


def _column(column: Any) -> CatalogColumn:
    class_ = str(column.getClass().getSimpleName())
    name, logical = str(column.getName()), column.getDataType().getLogicalType()
    metadata = class_ == "MetadataColumn"
    return CatalogColumn(
        name=name,
        type=sql_type(logical),
        sql=str(logical.asSerializableString()),
        comment=column.getComment().orElse(None),
        kind="metadata" if metadata else "computed" if class_ == "ComputedColumn" else "physical",
        persisted=bool(column.isPersisted()),
        metadata_key=str(column.getMetadataKey().orElse(name)) if metadata else None,
    )
