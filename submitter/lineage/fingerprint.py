"""Whether a job is still the one whose state lies in a checkpoint: a hash over what shapes its graph and its rows."""

import hashlib

from pyflink.table import StreamTableEnvironment

from submitter.pipeline.values import Pipeline


def fingerprint(pipeline: Pipeline, tables: StreamTableEnvironment, parallelism: str) -> str:
    """16 hexadecimal digits: every statement's definition, Flink's own plan of its input, the plain INSERTs."""
    digest = hashlib.sha256()
    parts = [parallelism]
    for statement in pipeline.statements:
        read = tables.sql_query(f"SELECT * FROM {statement.input.identifier}")  # noqa: S608 - quoted by the reader
        parts += [statement.name, statement.definition.hash, str(read.explain())]
    for plain in pipeline.plain:
        tables.use_catalog(plain.catalog)
        tables.use_database(plain.database)
        parts += [plain.catalog, plain.database, plain.sql, str(tables.explain_sql(plain.sql))]
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:16]
