"""A table or view of the user's as Flink's catalog knows it: its columns' types and its options."""

from pyflink.table import StreamTableEnvironment

_TOPICS = ("topic", "topic-pattern")


class UserTable:
    """Read through the catalog manager, which knows temporary tables too; PyFlink itself has no way to the options."""

    def __init__(self, tables: StreamTableEnvironment, identifier: str) -> None:
        environment = tables._j_tenv  # noqa: SLF001 - as above
        path = environment.getParser().parseIdentifier(identifier)
        manager = environment.getCatalogManager()
        self._resolved = manager.getTableOrError(manager.qualifyIdentifier(path))
        columns = self._resolved.getResolvedSchema().getColumns()
        self.types: dict[str, str] = {
            str(column.getName()): str(column.getDataType().getLogicalType().asSerializableString())
            for column in columns
        }
        """Column to its type, as DDL writes it."""

    def options(self) -> dict[str, str]:
        """The options of its DDL; a view has none."""
        return {str(name): str(value) for name, value in dict(self._resolved.getTable().getOptions()).items()}

    def options_without_topics(self) -> dict[str, str]:
        """As `options`, less those that name topics."""
        return {name: value for name, value in self.options().items() if name not in _TOPICS}
