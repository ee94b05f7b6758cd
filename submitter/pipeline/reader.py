"""Reads FILE.sql: statements go through Flink one after another, as a client would send them; nothing is started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyflink.table import StreamTableEnvironment

from shared.text_file import read_text
from submitter.pipeline.catalog import Catalog
from submitter.pipeline.configured import Configured
from submitter.pipeline.doubts import Doubts
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.flink import Reflection, reason
from submitter.pipeline.inserts import Inserts
from submitter.pipeline.known import Known
from submitter.pipeline.needs import needs_of, pipeline_of
from submitter.pipeline.predict import names_of, predict_calls
from submitter.pipeline.prices import check_prices
from submitter.pipeline.script import Node, Script, read_script
from submitter.pipeline.settings import check_target, read_settings
from submitter.pipeline.stand_in import StandIns
from submitter.pipeline.values import Needs, Pipeline, PlainInsert, Settings, Statement

_MOST_BYTES = 1 << 20
_IGNORED = ("SqlShow", "SqlDescribe", "SqlRichDescribe", "SqlRichExplain", "SqlHelp")
_EXECUTED = ("SqlExecute", "SqlStatementSet")
_BRACKETS = ("SqlBeginStatementSet", "SqlEndStatementSet")
_STARTS_JOBS = {
    "SqlCreateTableAs": "write a CREATE TABLE and an INSERT INTO",
    "SqlReplaceTableAs": "write a CREATE TABLE and an INSERT INTO",
    "SqlCreateMaterializedTable": "write a CREATE TABLE and an INSERT INTO",
    "SqlCreateOrAlterMaterializedTable": "write a CREATE TABLE and an INSERT INTO",
    "SqlSelect": "send its rows into a table with INSERT INTO",
    "SqlOrderBy": "send its rows into a table with INSERT INTO",
    "SqlWith": "send its rows into a table with INSERT INTO",
    "SqlBasicCall": "send its rows into a table with INSERT INTO",
}
"""Kinds that Flink would run as jobs of their own."""


@dataclass(frozen=True)
class Reading:
    """A file, read, and the live environment in which all its definitions stand."""

    pipeline: Pipeline | None
    """What could be read, which is all of it only where there is no fault; None without its required settings."""
    needs: Needs
    tables: StreamTableEnvironment
    faults: Faults


def read(path: Path, environ: Mapping[str, str], options: Mapping[str, str]) -> Reading:
    """Read a file; what is wrong with it stands in the result's faults.

    `options` is Flink configuration that wins over the file's. Raises OSError, NoText where the file can't be read.
    """
    text, faults = read_text(path, _MOST_BYTES), Faults()
    configured = Configured(options, faults)
    # The parser is the first environment's; the second one has the file's configuration from its start.
    script = read_script(text, environ, Reflection(configured.open()), faults)
    configured.read(script)
    found = read_settings(configured.ours(), environ, faults, script.unread)
    tables = configured.open()
    check_target(found.values, _target(tables), faults)
    reader = _Reader(script, tables, found.values, environ, configured, faults)
    reader.run()
    needs = reader.needs(path.resolve())
    check_prices(reader.statements, found.values, faults)
    pipeline = reader.pipeline(found.settings, needs, configured.flink()) if found.settings else None
    if not (reader.statements or reader.faulty or script.unread):
        faults.add("no INSERT … FROM ML_PREDICT(…) stands in the file: there is nothing to send")
    return Reading(pipeline, needs, tables, faults)


def _target(tables: StreamTableEnvironment) -> str | None:
    value = tables.get_config().get("execution.target", "")
    return str(value) or None


class _Reader:
    """Sends the statements through Flink, in the file's order."""

    def __init__(
        self,
        script: Script,
        tables: StreamTableEnvironment,
        settings: Mapping[str, Any],
        environ: Mapping[str, str],
        configured: Configured,
        faults: Faults,
    ) -> None:
        self._script, self._tables, self._configured, self._faults = script, tables, configured, faults
        self._settings, self._doubts = settings, Doubts(script.unread)
        self._flink = Reflection(tables)
        self._catalog = Catalog(self._flink, self._doubts, faults)
        has_file = "kafka-config" in settings or bool(environ.get("BATCHLINE_KAFKA_CONFIG"))
        self._known = Known(environ, settings.get("pipeline", ""), has_file, script.unresolved, sinks=self._sinks())
        self._inserts = Inserts(self._flink, self._catalog, self._known, faults)
        self._stand_ins = StandIns(self._flink)
        self.statements: list[Statement] = []
        self.plain: list[PlainInsert] = []
        self.faulty = False
        """Whether an INSERT with ML_PREDICT was refused."""

    def run(self) -> None:
        for node in self._script.nodes:
            self._handler(node.kind)(node)

    def needs(self, file: Path) -> Needs:
        return needs_of(file, self._settings, self._inserts.topics)

    def pipeline(self, settings: Settings, needs: Needs, flink: Mapping[str, str]) -> Pipeline:
        made = pipeline_of(needs, settings, flink, self.statements, self.plain)
        return replace(made, warnings=tuple(self._faults.warnings))

    def _sinks(self) -> frozenset[str]:
        inserts = [node.tree for node in self._script.nodes if node.kind == "RichSqlInsert"]
        for node in self._script.nodes:
            inserts += self._executed(node) if node.kind in _EXECUTED else []
        return frozenset(names_of(insert.getTargetTableID())[-1] for insert in inserts)

    def _handler(self, kind: str) -> Callable[[Node], None]:
        if kind == "SqlSet":
            return self._set
        if kind in ("SqlReset", *_BRACKETS):
            return lambda _: None
        if kind == "RichSqlInsert":
            return lambda node: self._insert(node.tree, node.line)
        if kind in _EXECUTED:
            return self._execute
        if kind.startswith(_IGNORED):
            return lambda node: self._faults.warn("it only shows something, and is passed over", Place(node.line))
        return self._define

    def _set(self, node: Node) -> None:
        if node.tree.getKey() is None:
            return
        name, value = str(node.tree.getKeyString()), str(node.tree.getValueString())
        if self._configured.takes(name):
            self._tables.get_config().set(name, value)

    def _execute(self, node: Node) -> None:
        inserts = self._executed(node)
        for insert in inserts:
            self._insert(insert, self._script.first_line(insert))
        if not inserts:
            self._faults.add("only INSERTs can be executed here", Place(node.line))

    def _executed(self, node: Node) -> list[Any]:
        """The INSERTs of EXECUTE, and of a statement set."""
        inner = node.tree.getStatement() if node.kind == "SqlExecute" else node.tree
        kind = str(inner.getClass().getSimpleName())
        return [inner] if kind == "RichSqlInsert" else list(inner.getInserts()) if kind == "SqlStatementSet" else []

    def _insert(self, tree: Any, line: int) -> None:
        sql = self._script.insert_text(tree)
        if predict_calls(tree, self._flink):
            made = self._inserts.read(tree, line)
            self.faulty = self.faulty or made is None
            self.statements += [made] if made else []
            return
        place = Place(line, f"INSERT INTO {names_of(tree.getTargetTableID())[-1]}")
        sink = self._catalog.table(names_of(tree.getTargetTableID()), place)
        if sink is None:
            return
        try:
            bounded = self._stand_ins.ends(self._flink.operation(tree))
        except Exception as error:  # noqa: BLE001 - whatever Flink says of the query, the user is to read it
            self._say(error, place)
            return
        catalog, database = self._catalog.current()
        self.plain.append(PlainInsert(sql, line, sink.quoted, catalog, database, bounded))

    def _define(self, node: Node) -> None:
        """A statement that defines or uses something: Flink executes it."""
        if node.kind in _STARTS_JOBS:
            self._faults.add(f"it would start a job of its own: {_STARTS_JOBS[node.kind]}", Place(node.line))
            self._doubt(node)
            return
        if predict_calls(node.tree, self._flink):
            message = "ML_PREDICT may stand only in INSERT INTO sink SELECT … FROM ML_PREDICT(TABLE …, MODEL …, …)"
            self._faults.add(message, Place(node.line))
            self._doubt(node)
            return
        try:
            operation = self._flink.operation(node.tree)
            if "ModifyOperation" in str(operation.getClass().getSimpleName()):
                self._faults.add("only INSERT is run as a part of a pipeline", Place(node.line))
                return
            self._tables._j_tenv.executeInternal(operation)  # noqa: SLF001 - it is what executeSql does with its text
        except Exception as error:  # noqa: BLE001 - whatever Flink says of the statement, the user is to read it
            self._say(error, Place(node.line))
            self._doubt(node)
            return
        self._remember(node)

    def _say(self, error: Exception, place: Place) -> None:
        """What Flink says of a statement, unless it only misses what another one was to define."""
        message, line = reason(error)
        if not self._doubts.explains(message):
            self._faults.add(message, replace(place, line=line or place.line))

    def _doubt(self, node: Node) -> None:
        """What a refused statement was to define is missing now."""
        for name in self._defined(node)[-1:]:
            self._doubts.add(name)

    def _remember(self, node: Node) -> None:
        """Where the options of a table or model stand."""
        names = self._defined(node)
        if node.options and names:
            try:
                name = self._catalog.qualified(names)
            except Exception:  # noqa: BLE001 - a catalog's or function's name is of no use here
                return
            self._known.lines.setdefault(name, {}).update(node.options)

    def _defined(self, node: Node) -> tuple[str, ...]:
        """The name that a statement begins with."""
        parts = self._flink.operands(node.tree)
        is_named = parts and parts[0].getClass().getSimpleName() == "SqlIdentifier"
        return names_of(parts[0]) if is_named else ()
