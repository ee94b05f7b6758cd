"""The door for Python: a prediction as a part of a Table API job of the user's own. It loads Flink only when called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from shared.errors import SettingsError
from submitter.table_api.asked import Asked, BatchModel

if TYPE_CHECKING:
    from pyflink.table import StatementSet, Table


def predict(
    table: Table,
    model: BatchModel | str,
    sink: str,
    *,
    statements: StatementSet,
    columns: Sequence[str] | None = None,
    select: Sequence[str] | None = None,
    options: Mapping[str, str] | None = None,
    pipeline: str | None = None,
) -> StatementSet:
    """Send a table's rows to a model in batches, and its answers to a Kafka table; both within your own job.

    It adds both ends to your StatementSet, next to your other pipelines, and gives it back; it starts nothing.

        import os

        from pyflink.datastream import StreamExecutionEnvironment
        from pyflink.table import StreamTableEnvironment

        from submitter import BatchModel, predict

        environment = StreamExecutionEnvironment.get_execution_environment()
        environment.add_jars("file:///opt/flink/lib/flink-sql-connector-kafka-5.0.0-2.2.jar")
        environment.enable_checkpointing(30_000)
        tables = StreamTableEnvironment.create(environment)
        for name, value in {
            "batchline.pipeline": "review-sentiment",
            "batchline.spool": "file:///var/lib/batchline/spool",
            "batchline.state-store": "sqlite:////var/lib/batchline/state.db",
        }.items():
            tables.get_config().set(name, value)

        tables.execute_sql('''
            CREATE TABLE reviews (review_id STRING, review STRING, stars INT)
            WITH ('connector' = 'kafka', 'topic' = 'reviews', 'properties.bootstrap.servers' = 'localhost:9092',
                  'format' = 'json', 'scan.startup.mode' = 'earliest-offset')''')
        tables.execute_sql('''
            CREATE TABLE sentiments (review_id STRING, label STRING, score DOUBLE)
            WITH ('connector' = 'kafka', 'topic' = 'sentiments', 'properties.bootstrap.servers' = 'localhost:9092',
                  'key.format' = 'json', 'key.fields' = 'review_id', 'value.format' = 'json')''')
        sentiment = BatchModel(
            "sentiment",
            input={"review": "STRING"},
            output={"label": "STRING COMMENT 'positive or negative'", "score": "DOUBLE"},
            options={
                "provider": "openai",
                "model": "gpt-5-mini",
                "api-key": "${OPENAI_API_KEY}",
                "system-prompt": "Classify the sentiment of the review.",
                "batch.max-age": "15 min",
            },
        )

        statements = tables.create_statement_set()
        predict(tables.from_path("reviews"), sentiment, "sentiments", statements=statements)
        statements.execute().wait()

    `model` is a BatchModel, or the name of a model in your catalog; `columns` are the table's that fill its input, in
    its order, and those of the same names otherwise. `select` is what the sink's columns take, in their order: columns,
    literals and CAST, as SQL writes them; otherwise each takes the column of its name, of the table or of the answer.
    `options` hold for this prediction in place of the model's.

    What a file's SET says as `batchline.*` is taken from the table environment's configuration. A pipeline is one
    prediction: a second one in the same job needs a name of its own, `pipeline`.

    The job is yours: you execute it, cancel it, and say which state it is restored to; and it needs checkpoints, on
    which rows are sealed. Its run stands in the lineage from the moment that it starts, and ends a former one, which
    then fails. Where no state is named (execution.state-recovery.path), a table that is read from Kafka as it is goes
    on with the records that are not yet paid for; another input would be paid for again, which is refused without
    `batchline.resubmit` = `true`. A pipeline's name belongs to its script; `batchline.take-over` = `true` makes it
    this one's. Over bounded input the job does not end by itself either.

    Raises SettingsError or PipelineError, which names every fault that was found, before anything is added.
    """
    if find_spec("pyflink") is None:
        raise SettingsError("predict runs on Apache Flink: pip install 'batchline[submitter]'")
    from submitter.table_api.own_job import add_prediction

    add_prediction(table, Asked(model, sink, columns, select, options), statements, pipeline)
    return statements
