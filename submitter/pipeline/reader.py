"""Reads FILE.sql: statements go through Flink one after another, as a client would send them; nothing is started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyflink.table import StreamTableEnvironment

from submitter.pipeline.catalog import Catalog
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.flink import Reflection, open_environment, reason
from submitter.pipeline.inserts import Inserts, Known
from submitter.pipeline.predict import names_of, predict_calls
from submitter.pipeline.script import Node, Script, read_script
from submitter.pipeline.settings import PREFIX, Given, check_target, read_settings
from submitter.pipeline.stand_in import StandIns
from submitter.pipeline.values import Pipeline, PlainInsert, Settings, Statement

_IGNORED = ("SqlShow", "SqlDescribe", "SqlRichDescribe", "SqlRichExplain", "SqlHelp")
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
_REFUSED_SETTINGS = {
    "execution.runtime-mode": ("streaming", "a pipeline runs in streaming mode, over bounded sources too"),
    "table.sql-dialect": ("default", "the file is read in Flink's own dialect"),
    "table.exec.legacy-cast-behaviour": ("disabled", "the publisher casts as Flink does without it"),
}


@dataclass(frozen=True)
class Reading:
    """A file, read, and the live environment in which all its definitions stand."""

    pipeline: Pipeline | None
    """What could be read, which is all of it only where there is no fault; None without its required settings."""
    tables: StreamTableEnvironment
    faults: Faults


def read(path: Path, environ: Mapping[str, str], options: Mapping[str, str]) -> Reading:
    """Read a file; what is wrong with it stands in the result's faults.

    `options` is Flink configuration that wins over the file's. Raises OSError where the file can't be read.
    """
    text, faults = path.read_text(encoding="utf-8-sig"), Faults()
    tables = open_environment(options)
    script = read_script(text, environ, Reflection(tables), faults)
    if script is None:
        return Reading(None, tables, faults)
    given = _sets(script)
    flink = {name: one.value for name, one in given.items() if not name.startswith(PREFIX)}
    for name, (allowed, why) in _REFUSED_SETTINGS.items():
        value = {**flink, **options}.get(name, allowed)
        if value.lower() != allowed:
            line = given[name].line if name in given and name not in options else None
            faults.add(f"'{value}' can't be had: {why}", Place(line, f"{'-D' if line is None else 'SET'} '{name}'"))
        flink.pop(name, None)
    ours = {name: one for name, one in given.items() if name.startswith(PREFIX)}
    settings = read_settings(ours, environ, faults)
    # The parser was the first environment's; the second one has the file's configuration from its start.
    tables = open_environment(
        {name: value for name, value in {**flink, **options}.items() if name not in _REFUSED_SETTINGS}
    )
    if settings is not None:
        check_target(settings, _target(tables), faults)
    reader = _Reader(script, tables, settings, environ, options, faults)
    reader.run()
    pipeline = reader.pipeline(path.resolve(), settings, flink) if settings else None
    if not reader.statements and not reader.faulty:
        faults.add("no INSERT … FROM ML_PREDICT(…) stands in the file: there is nothing to send")
    return Reading(pipeline, tables, faults)


def _sets(script: Script) -> dict[str, Given]:
    """What SET and RESET leave in force."""
    found: dict[str, Given] = {}
    for node in script.nodes:
        if node.kind == "SqlSet" and node.tree.getKey() is not None:
            value = str(node.tree.getValueString())
            found[str(node.tree.getKeyString())] = Given(value, script.unresolved.get(value, value), node.line)
        elif node.kind == "SqlReset":
            found.pop(str(node.tree.getKeyString()), None) if node.tree.getKey() is not None else found.clear()
    return found


def _target(tables: StreamTableEnvironment) -> str | None:
    value = tables.get_config().get("execution.target", "")
    return str(value) or None


class _Reader:
    """Sends the statements through Flink, in the file's order."""

    def __init__(
        self,
        script: Script,
        tables: StreamTableEnvironment,
        settings: Settings | None,
        environ: Mapping[str, str],
        options: Mapping[str, str],
        faults: Faults,
    ) -> None:
        self._script, self._tables, self._options, self._faults = script, tables, options, faults
        self._flink = Reflection(tables)
        self._catalog = Catalog(self._flink, faults)
        has_file = bool(settings and settings.kafka_config) or bool(environ.get("BATCHLINE_KAFKA_CONFIG"))
        self._known = Known(environ, settings.name if settings else "", has_file, script.unresolved)
        self._inserts = Inserts(self._flink, self._catalog, self._known, faults)
        self._stand_ins = StandIns(self._flink)
        self.statements: list[Statement] = []
        self.plain: list[PlainInsert] = []
        self.faulty = False
        """Whether an INSERT with ML_PREDICT was refused."""

    def run(self) -> None:
        for node in self._script.nodes:
            self._handler(node.kind)(node)

    def pipeline(self, file: Path, settings: Settings, flink: Mapping[str, str]) -> Pipeline:
        sinks = [each.definition.sink for each in self.statements]
        servers = settings.bootstrap_servers or next((sink.bootstrap_servers for sink in sinks), "")
        return Pipeline(
            file=file,
            settings=settings,
            bootstrap_servers=servers,
            batches_kafka=next((sink.kafka for sink in sinks if sink.bootstrap_servers == servers), {}),
            flink=flink,
            statements=tuple(self.statements),
            plain=tuple(self.plain),
            warnings=tuple(self._faults.warnings),
        )

    def _handler(self, kind: str) -> Callable[[Node], None]:
        if kind == "SqlSet":
            return self._set
        if kind in ("SqlReset", *_BRACKETS):
            return lambda _: None
        if kind == "RichSqlInsert":
            return lambda node: self._insert(node.tree, node.line)
        if kind in ("SqlExecute", "SqlStatementSet"):
            return self._execute
        if kind.startswith(_IGNORED):
            return lambda node: self._faults.warn("it only shows something, and is passed over", Place(node.line))
        return self._define

    def _set(self, node: Node) -> None:
        if node.tree.getKey() is None:
            return
        name, value = str(node.tree.getKeyString()), str(node.tree.getValueString())
        if not name.startswith(PREFIX) and name not in self._options and name not in _REFUSED_SETTINGS:
            self._tables.get_config().set(name, value)

    def _execute(self, node: Node) -> None:
        inner = node.tree.getStatement() if node.kind == "SqlExecute" else node.tree
        kind = str(inner.getClass().getSimpleName())
        if kind == "RichSqlInsert":
            self._insert(inner, node.line)
        elif kind == "SqlStatementSet":
            for insert in inner.getInserts():
                self._insert(insert, self._script.first_line(insert))
        else:
            self._faults.add("only INSERTs can be executed here", Place(node.line))

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
            message, where = reason(error)
            self._faults.add(message, Place(where or line, place.statement))
            return
        catalog, database = self._catalog.current()
        self.plain.append(PlainInsert(sql, line, sink.quoted, catalog, database, bounded))

    def _define(self, node: Node) -> None:
        """A statement that defines or uses something: Flink executes it."""
        if node.kind in _STARTS_JOBS:
            self._faults.add(f"it would start a job of its own: {_STARTS_JOBS[node.kind]}", Place(node.line))
            return
        if predict_calls(node.tree, self._flink):
            message = "ML_PREDICT may stand only in INSERT INTO sink SELECT … FROM ML_PREDICT(TABLE …, MODEL …, …)"
            self._faults.add(message, Place(node.line))
            return
        try:
            operation = self._flink.operation(node.tree)
            if "ModifyOperation" in str(operation.getClass().getSimpleName()):
                self._faults.add("only INSERT is run as a part of a pipeline", Place(node.line))
                return
            self._tables._j_tenv.executeInternal(operation)  # noqa: SLF001 - it is what executeSql does with its text
        except Exception as error:  # noqa: BLE001 - whatever Flink says of the statement, the user is to read it
            message, line = reason(error)
            self._faults.add(message, Place(line or node.line))
            return
        self._remember(node)

    def _remember(self, node: Node) -> None:
        """Where the options of a table or model stand."""
        parts = self._flink.operands(node.tree)
        if node.options and parts and parts[0].getClass().getSimpleName() == "SqlIdentifier":
            try:
                name = self._catalog.qualified(names_of(parts[0]))
            except Exception:  # noqa: BLE001 - a catalog's or function's name is of no use here
                return
            self._known.lines.setdefault(name, {}).update(node.options)
