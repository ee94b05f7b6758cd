"""Flink behind Py4J: a table environment, the planner's own classes, logical types, and what an exception says."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from shared.definition import Column, SqlType
from submitter.gateway import gateway

_JARS = Path(__file__).parents[2] / "deploy" / "jars" / "flink"
_DEEP = "it is nested too deeply"
_MUTE = "SqlParseException.getMessage()"
"""What Flink stumbles over where its parser's stack overflowed."""
_POSITION = re.compile(r"[Ff]rom line (\d+), column \d+ to line \d+, column \d+: ?|at line (\d+), column \d+")
_AT = re.compile(r"at line (\d+), column (\d+)")
_SCHEMAS = re.compile(r"Query schema:\s*\[(.*?)\]\s*Sink schema:\s*\[(.*?)\]\s*$", re.DOTALL)
_LISTS = re.compile(r"\n\s*\n(?=Supported options:|Query schema:)")
"""Where a message of Flink's goes on with a long list."""
_ZONED = {"TIMESTAMP_WITH_LOCAL_TIME_ZONE", "TIMESTAMP_WITH_TIME_ZONE", "TIMESTAMP_WITHOUT_TIME_ZONE"}


def open_environment(options: Mapping[str, str]) -> StreamTableEnvironment:
    """A table environment in streaming mode under a Flink configuration, with the Kafka connector of this checkout."""
    gateway()  # before PyFlink itself opens the JVM
    configuration = Configuration()
    for name, value in with_connectors(options).items():
        configuration.set_string(name, value)
    return StreamTableEnvironment.create(StreamExecutionEnvironment.get_execution_environment(configuration))


def open_checked(options: Mapping[str, str], wrong: Callable[[str | None, str], None]) -> StreamTableEnvironment:
    """As `open_environment`, without the options that Flink can't use: `wrong` is told each one's name, and why."""
    usable = dict(options)
    while True:
        try:
            return open_environment(usable)
        except Exception as error:  # noqa: BLE001 - whatever Flink says of an option, the user is to read it
            said = "\n".join(_messages(error))
            name = next((name for name in usable if f"'{name}'" in said), None)
            wrong(name, f"Flink can't use it: {reason(error)[0]}")
            usable = {each: value for each, value in usable.items() if name not in (None, each)}


def with_connectors(options: Mapping[str, str]) -> dict[str, str]:
    """The options, with this checkout's connector jars in `pipeline.jars`; elsewhere they lie in Flink's lib folder."""
    jars = [jar for jar in options.get("pipeline.jars", "").split(";") if jar]
    if not any("kafka" in jar.rpartition("/")[2] for jar in jars):
        jars += [jar.as_uri() for jar in sorted(_JARS.glob("*.jar"))]
    return {**options, **({"pipeline.jars": ";".join(jars)} if jars else {})}


class Reflection:
    """Reaches the planner, which Flink loads with a class loader of its own."""

    def __init__(self, tables: StreamTableEnvironment) -> None:
        self.environment = tables._j_tenv  # noqa: SLF001 - PyFlink has no other way to the planner
        self.planner = self.environment.getPlanner()
        self._gateway = gateway()
        self._parser = self.planner.getParser()
        self._calcite = self.field(self._parser, "calciteParserSupplier")
        self._validator = self.field(self._parser, "validatorSupplier")
        self._loader = self._calcite.get().getClass().getClassLoader()
        self.catalogs = self.environment.getCatalogManager()
        self._convert = self._method(
            "org.apache.flink.table.planner.operations.SqlNodeToOperationConversion", "convert"
        )
        self._call = self.load("org.apache.calcite.sql.SqlCall")

    def load(self, name: str) -> Any:
        """A class of the planner's."""
        return self._gateway.jvm.java.lang.Class.forName(name, True, self._loader)

    def field(self, owner: Any, name: str) -> Any:
        """The value of an object's field, private ones too."""
        found = self._field(owner, name)
        return found.get(owner)

    def set_field(self, owner: Any, name: str, value: Any) -> None:
        """Set an object's field."""
        self._field(owner, name).set(owner, value)

    def new(self, name: str, *arguments: Any) -> Any:
        """An object of a planner's class, by the constructor that takes these arguments."""
        error: Exception | None = None
        for constructor in self.load(name).getConstructors():
            if constructor.getParameterCount() == len(arguments):
                try:
                    return constructor.newInstance(self._array(*arguments))
                except Exception as wrong:  # noqa: BLE001 - another constructor may take them
                    error = wrong
        raise TypeError(f"{name} has no constructor for these arguments") from error

    def parse(self, text: str) -> list[Any]:
        """The syntax trees of a script's statements."""
        return list(self._calcite.get().parseSqlList(text))

    def operation(self, node: Any) -> Any:
        """What Flink makes of a syntax tree, validated against the catalog."""
        return self._convert.invoke(None, self._array(self._validator.get(), self.catalogs, node)).get()

    def operands(self, node: Any) -> list[Any]:
        """The parts of a syntax tree, which is a call or a list; of any other, none."""
        if node.getClass().getSimpleName() == "SqlNodeList":
            return [each for each in node.getList() if each is not None]
        if self._call.isInstance(node):
            return [each for each in node.getOperandList() if each is not None]
        return []

    def list_of(self, *values: Any) -> Any:
        """A Java list."""
        made = self._gateway.jvm.java.util.ArrayList()
        for value in values:
            made.add(value)
        return made

    def identifier(self, parts: tuple[str, ...]) -> Any:
        """A qualified object identifier."""
        array = self._gateway.new_array(self._gateway.jvm.java.lang.String, len(parts))
        for index, part in enumerate(parts):
            array[index] = part
        return self.catalogs.qualifyIdentifier(
            self._gateway.jvm.org.apache.flink.table.catalog.UnresolvedIdentifier.of(array)
        )

    def _method(self, owner: str, name: str) -> Any:
        return next(method for method in self.load(owner).getMethods() if method.getName() == name)

    def _array(self, *values: Any) -> Any:
        array = self._gateway.new_array(self._gateway.jvm.Object, len(values))
        for index, value in enumerate(values):
            array[index] = value
        return array

    def _field(self, owner: Any, name: str) -> Any:
        kind = owner.getClass()
        while kind is not None:
            for found in kind.getDeclaredFields():
                if found.getName() == name:
                    found.setAccessible(True)
                    return found
            kind = kind.getSuperclass()
        raise AttributeError(f"{owner.getClass().getName()} has no field {name}")


def sql_type(logical: Any) -> SqlType:
    """A Flink logical type as our value."""
    root = str(logical.getTypeRoot().name())
    given: dict[str, Any] = {"root": root, "nullable": bool(logical.isNullable())}
    if root in ("CHAR", "VARCHAR", "BINARY", "VARBINARY"):
        given["length"] = int(logical.getLength())
    elif root == "DECIMAL":
        given.update(precision=int(logical.getPrecision()), scale=int(logical.getScale()))
    elif root in _ZONED or root == "TIME_WITHOUT_TIME_ZONE":
        given["precision"] = int(logical.getPrecision())
    elif root in ("ARRAY", "MULTISET"):
        given["element"] = sql_type(logical.getElementType())
    elif root == "MAP":
        given.update(key=sql_type(logical.getKeyType()), element=sql_type(logical.getValueType()))
    elif root == "ROW":
        given["fields"] = tuple(
            Column(
                name=str(field.getName()), type=sql_type(field.getType()), comment=field.getDescription().orElse(None)
            )
            for field in logical.getFields()
        )
    return SqlType(**given)


def parsed_type(text: Any) -> Any:
    """The Flink logical type of its printed form. Raises ValueError for a type that has none."""
    if not isinstance(text, str):
        raise ValueError("it has a type that only Flink knows")  # noqa: TRY004 - what a plan may hold, not a mistake of ours
    jvm = gateway().jvm
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    return jvm.org.apache.flink.table.types.logical.utils.LogicalTypeParser.parse(text, loader)


def implicit_cast(source: str, target: str) -> bool:
    """Whether Flink casts from one printed type to the other without being told."""
    casts = gateway().jvm.org.apache.flink.table.types.logical.utils.LogicalTypeCasts
    return bool(casts.supportsImplicitCast(parsed_type(source), parsed_type(target)))


def reason(error: Exception) -> tuple[str, int | None]:
    """What a Java exception says at its root, in a few lines, and the line of the script that it names."""
    messages = [message for message in _messages(error) if message.strip()] or [_unsaid(error)]
    line = next((int(found[1] or found[2]) for text in messages if (found := _POSITION.search(text))), None)
    if _MUTE in messages[-1]:
        return _DEEP, line or None
    text = _POSITION.sub("", messages[-1]).replace(" .", ".").strip()
    kept = [each.strip() for each in _LISTS.split(text)[0].splitlines() if each.strip()]
    return " ".join(kept[:6])[:600] + _compared(text), line or None


def _compared(text: str) -> str:
    """What a query gives and its sink takes, where Flink says that the two don't match."""
    schemas = _SCHEMAS.search(text)
    if schemas is None:
        return ""
    given, taken = (f"({each[:300]})" for each in schemas.groups())
    return f" The SELECT gives {given}, and the sink takes {taken}: CAST in the SELECT, or declare the sink so"


def position(error: Exception) -> tuple[int, int] | None:
    """Line and column, from 1, at which a Java exception says that a script can't go on."""
    found = (_AT.search(text) for text in _messages(error))
    return next(((int(at[1]), int(at[2])) for at in found if at), None)


def _unsaid(error: Exception) -> str:
    """What an exception without a message is about."""
    return _DEEP if "StackOverflowError" in str(error) else type(error).__name__


def _messages(error: Exception) -> list[str]:
    """The messages of an exception and its causes, outermost first."""
    java = getattr(error, "java_exception", None)
    if java is None:
        # PyFlink turns some exceptions into its own, which keep only the printed stack trace.
        head = [part.partition("\n\tat ")[0] for part in re.split(r"\nCaused by: ", str(error))]
        return [part.split("Exception: ", 1)[-1] for part in head]
    found = []
    while java is not None:
        found.append(str(java.getMessage() or ""))
        java = java.getCause()
    return found
