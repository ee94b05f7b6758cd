"""What only Flink's planner can say: the projection over a stand-in for ML_PREDICT, and when an input ends."""

import json
from collections.abc import Sequence
from typing import Any

from submitter.pipeline.catalog_values import CatalogColumn, CatalogTable, quoted
from submitter.pipeline.flink import Reflection
from submitter.pipeline.predict import put_sink, put_stand_in

ANSWERED, STAGED, WRITTEN = "__batchline_answered", "__batchline_staged", "__batchline_written"


class StandIns:
    """Plans over temporary tables, which are gone afterwards."""

    def __init__(self, flink: Reflection) -> None:
        self._flink = flink
        self._tables = flink.environment

    def plan(
        self, insert: Any, columns: Sequence[CatalogColumn], sink: Sequence[CatalogColumn] | None = None
    ) -> dict[str, Any]:
        """The JSON of COMPILE PLAN of an INSERT, with a table of `columns` for ML_PREDICT; a view would fold away.

        `sink`: the columns of another one's stand-in.
        """
        self._create(ANSWERED, columns, "'connector' = 'datagen'")
        try:
            put_stand_in(insert, ANSWERED, self._flink)
            if sink is not None:
                self._create(WRITTEN, sink, "'connector' = 'blackhole'")
                put_sink(insert, WRITTEN, self._flink)
            operations = self._flink.list_of(self._flink.operation(insert))
            plan: dict[str, Any] = json.loads(self._flink.planner.compilePlan(operations).asJsonString())
            return plan
        finally:
            self._drop(ANSWERED)
            self._drop(WRITTEN)

    def bounded(self, table: CatalogTable, columns: Sequence[CatalogColumn]) -> bool:
        """Whether reading these columns ends by itself. Raises Flink's exception for an input that changes its rows."""
        # The very kind of sink that stages rows, so that Flink's refusal here is the one that a run would meet.
        self._create(STAGED, columns, "'connector' = 'filesystem', 'path' = 'file:///nowhere', 'format' = 'json'")
        try:
            selected = ", ".join(quoted((column.name,)) for column in columns)
            insert = f"INSERT INTO `{STAGED}` SELECT {selected} FROM {table.quoted}"  # noqa: S608 - made of quoted names
            return self.ends(self._flink.operation(self._flink.parse(insert)[0]))
        finally:
            self._drop(STAGED)

    def ends(self, operation: Any) -> bool:
        """Whether every source of an INSERT ends by itself. Raises Flink's exception where it can't be planned."""
        bounded = self._flink.load("org.apache.flink.streaming.api.transformations.WithBoundedness")
        transformations = self._flink.planner.translate(self._flink.list_of(operation))
        sources = [
            each
            for transformation in transformations
            for each in transformation.getTransitivePredecessors()
            if bounded.isInstance(each)
        ]
        return all(_ends(source) for source in sources)

    def _create(self, name: str, columns: Sequence[CatalogColumn], options: str) -> None:
        listed = ", ".join(f"{quoted((column.name,))} {column.sql}" for column in columns)
        self._tables.executeSql(f"CREATE TEMPORARY TABLE `{name}` ({listed}) WITH ({options})")

    def _drop(self, name: str) -> None:
        self._tables.executeSql(f"DROP TEMPORARY TABLE IF EXISTS `{name}`")


def _ends(source: Any) -> bool:
    """Whether a source is bounded; one that reads an input format (VALUES, say) is, though Flink doesn't call it so."""
    if str(source.getBoundedness().toString()) == "BOUNDED":
        return True
    if source.getClass().getSimpleName() != "LegacySourceTransformation":
        return False
    return str(source.getOperator().getUserFunction().getClass().getSimpleName()) == "InputFormatSourceFunction"
