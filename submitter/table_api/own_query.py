"""The query that a prediction stands for: written in SQL, and read as one that stands in a file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pyflink.table import StreamTableEnvironment, Table
from pyflink.table.types import DataType, _to_java_data_type

from shared.extras import NAMES
from submitter.pipeline.catalog import Catalog
from submitter.pipeline.catalog_values import CatalogModel, CatalogTable, Identifier, quoted
from submitter.pipeline.doubts import Doubts
from submitter.pipeline.faults import Faults, Place, nearest
from submitter.pipeline.flink import Reflection, reason
from submitter.pipeline.inserts import Inserts
from submitter.pipeline.kafka_properties import passwords
from submitter.pipeline.known import Known
from submitter.pipeline.references import credentials, unresolved
from submitter.pipeline.values import Statement, Topics
from submitter.sql import INTERNAL, literal, quote
from submitter.table_api.asked import Asked, BatchModel
from submitter.table_api.own_texts import OwnTexts


def read_query(
    tables: StreamTableEnvironment,
    table: Table,
    asked: Asked,
    settings: Mapping[str, Any],
    environ: Mapping[str, str],
    faults: Faults,
) -> tuple[Statement | None, list[Topics]]:
    """The statement, and the topics that it relies on; None, and a fault, where it can't be."""
    flink, place, texts = Reflection(tables), Place(), OwnTexts(environ, faults)
    catalog = Catalog(flink, Doubts(""), faults)
    try:
        with _registered(tables, asked.model, texts) as model:
            names = _parts(flink, asked.sink)
            sink, source = catalog.table(names, place), _source(tables, table)
            known_model = catalog.model(_parts(flink, model), place)
            if sink is None or known_model is None:
                return None, []
            input_ = catalog.table(_parts(flink, source), place)
            options = _judged(texts, asked, known_model)
            known = _known(settings, environ, sink, input_, texts)
            columns = [str(name) for name in table._j_table.getResolvedSchema().getColumnNames()]  # noqa: SLF001 PyFlink has no other way to it
            outputs = [column.name for column in known_model.output]
            taken = _taken(sink, [*columns, *outputs, *NAMES], asked.select, faults)
            descriptor = asked.columns or [column.name for column in known_model.input]
            arguments = [
                f"TABLE {source}",
                f"MODEL {model}",
                f"DESCRIPTOR({', '.join(map(quote, descriptor))})",
                *([f"MAP[{', '.join(_pairs(options))}]"] if options else []),
            ]
            text = f"INSERT INTO {quoted(names)} SELECT {', '.join(taken)} FROM ML_PREDICT({', '.join(arguments)})"  # noqa: S608 - the user's own
            inserts = Inserts(flink, catalog, known, faults)
            return (inserts.read(flink.parse(text)[0], 1) if taken else None), inserts.topics
    except Exception as error:
        if getattr(error, "java_exception", None) is None and not type(error).__module__.startswith("pyflink"):
            raise
        faults.add(reason(error)[0], place)
        return None, []


@contextmanager
def _registered(tables: StreamTableEnvironment, model: BatchModel | str, texts: OwnTexts) -> Iterator[str]:
    """A model of the catalog, under its name as SQL writes it; one of Python is there for a while."""
    if isinstance(model, str):
        yield model
        return
    name = quote(INTERNAL + model.name)
    told = texts.options(model.options, Place(statement=f"model {model.name}"))
    options = ", ".join(f"{literal(key)} = {literal(value)}" for key, value in told.items())
    tables.execute_sql(
        f"CREATE TEMPORARY MODEL {name} INPUT ({_columns(model.input)}) OUTPUT ({_columns(model.output)})"
        f" WITH ({options})"
    )
    try:
        yield name
    finally:
        tables.drop_temporary_model(name)


def _judged(texts: OwnTexts, asked: Asked, model: CatalogModel) -> dict[str, str]:
    """The query's options; what a file's reader would refuse is a fault, in a model of the catalog too."""
    place = Place(statement=asked.sink)
    if isinstance(asked.model, str):
        there = Place(statement=f"model {model.name}")
        texts.refuse_keys(model.options, there)
        texts.refuse_references(model.options, there)
    texts.refuse_keys({f"select[{number}]": text for number, text in enumerate(asked.select or ())}, place)
    return texts.options(asked.options or {}, place)


def _columns(columns: Mapping[str, Any]) -> str:
    return ", ".join(f"{quote(name)} {_type(type_)}" for name, type_ in columns.items())


def _type(type_: Any) -> str:
    if isinstance(type_, DataType):
        return str(_to_java_data_type(type_).getLogicalType().asSerializableString())
    return str(type_)


def _source(tables: StreamTableEnvironment, table: Table) -> str:
    """The table as SQL reads it: by the name that it has in the catalog, else as a view."""
    operation = table._j_table.getQueryOperation()  # noqa: SLF001 - PyFlink has no other way to it
    if operation.getClass().getSimpleName() == "SourceQueryOperation":
        resolved = operation.getContextResolvedTable()
        if not resolved.isAnonymous():
            return str(resolved.getIdentifier().asSerializableString())
    number = sum(name.startswith(f"{INTERNAL}input_") for name in tables.list_temporary_views())
    name = quote(f"{INTERNAL}input_{number}")
    tables.create_temporary_view(name, table)
    return name


def _taken(sink: CatalogTable, known: Sequence[str], select: Sequence[str] | None, faults: Faults) -> list[str]:
    """What each of the sink's columns takes; nothing where one has no name that is known."""
    if select is not None:
        return list(select)
    written = [column.name for column in sink.columns if column.kind != "computed" and column.persisted]
    for name in written:
        if name not in known:
            message = f"the sink's column '{name}' is neither the table's nor the model's{nearest(name, known)}"
            faults.add(f"{message} (say what it takes with select=[…])", Place())
    return [quote(name) for name in written] if all(name in known for name in written) else []


def _pairs(options: Mapping[str, str]) -> Iterator[str]:
    for name, value in options.items():
        yield from (literal(name), literal(value))


def _known(
    settings: Mapping[str, Any],
    environ: Mapping[str, str],
    sink: CatalogTable,
    input_: CatalogTable | None,
    texts: OwnTexts,
) -> Known:
    """What a file's reader knows: here a secret of the environment stands for itself in the tables' options."""
    tables = [sink, input_] if input_ else [sink]
    secrets = credentials(environ, {value for table in tables for value in passwords(table.options)})
    found = {value: unresolved(value, secrets) for table in tables for value in table.options.values()}
    for table in tables:
        left = {name: found[value] for name, value in table.options.items()}
        texts.refuse_keys(left, Place(statement=f"table {table.name}"))
        if table is input_ and table.connector == "kafka" and "topic-pattern" not in table.options:
            texts.refuse_passwords(table.options, secrets, Place(statement=f"input {table.name}"))
    found |= secrets | texts.unresolved
    return Known(
        environ,
        settings.get("pipeline", ""),
        "kafka-config" in settings or bool(environ.get("BATCHLINE_KAFKA_CONFIG")),
        {value: text for value, text in found.items() if value != text},
    )


def _parts(flink: Reflection, path: str) -> Identifier:
    """The catalog, database and name that a path of Flink's means."""
    parsed = flink.environment.getParser().parseIdentifier(path)
    identifier = flink.catalogs.qualifyIdentifier(parsed)
    return str(identifier.getCatalogName()), str(identifier.getDatabaseName()), str(identifier.getObjectName())
