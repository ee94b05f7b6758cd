from collections.abc import Mapping
from pathlib import Path

import pytest

from submitter.check import NOTHING
from submitter.pipeline.reader import Reading, read
from submitter.pipeline.values import Pipeline
from tests.integration.pipeline_files import (
    ENVIRON,
    INSERT,
    MODEL,
    REVIEWS,
    SETTINGS,
    SINK,
    WHOLE,
    line_of,
)


def reading_of(
    folder: Path, text: str, environ: Mapping[str, str] = ENVIRON, options: Mapping[str, str] = NOTHING
) -> Reading:
    file = folder / "file.sql"
    file.write_bytes(text.encode())
    return read(file, environ, options)


def pipeline_of(folder: Path, text: str) -> Pipeline:
    reading = reading_of(folder, text)
    assert not reading.faults.errors, [fault.text("file.sql") for fault in reading.faults.errors]
    assert reading.pipeline is not None
    return reading.pipeline


def faults_of(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    return [fault.text("file.sql") for fault in reading_of(folder, text, environ).faults.errors]


def test_a_whole_file(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, WHOLE)
    (statement,) = pipeline.statements
    definition = statement.definition
    assert (pipeline.name, statement.name, statement.line) == ("reviews-of-films", "results", line_of(WHOLE, "INSERT"))
    assert statement.input.identifier == "`default_catalog`.`default_database`.`reviews`"
    assert statement.input.topics == ("reviews",)
    assert statement.input.metadata == {"timestamp": "written", "partition": "part"}
    assert not statement.input.bounded
    assert [column.name for column in definition.row] == ["id", "review"]
    assert [column.name for column in definition.model.input] == ["text"]
    assert definition.model.descriptor == ("review",)
    assert [(column.name, column.comment) for column in definition.model.output] == [
        ("label", "good or bad"),
        ("score", None),
    ]
    assert [(each.source, each.column) for each in definition.projection] == [
        ("input", "id"),
        ("output", "label"),
        ("output", "score"),
    ]
    assert (definition.sink.topic, definition.sink.bootstrap_servers) == ("results", "nowhere:9092")
    assert pipeline.bootstrap_servers == "nowhere:9092"
    assert "the-openai-key" not in definition.model_dump_json()


def test_reading_twice_gives_the_same_definition(tmp_path: Path) -> None:
    first, second = (pipeline_of(tmp_path, WHOLE).statements[0].definition for _ in range(2))
    assert first.hash == second.hash


MANY = (
    SETTINGS.replace("\n", "\r\n")
    + """SET 'table.exec.source.idle-timeout' = '5 s'; SET 'pipeline.name' = 'to be reset'; RESET 'pipeline.name';
/* 😀 a ; in a comment: INSERT INTO nothing SELECT 1 FROM ML_PREDICT(TABLE a, MODEL b, DESCRIPTOR(c)); */
CREATE CATALOG other WITH ('type' = 'generic_in_memory');
CREATE DATABASE IF NOT EXISTS other.films;
USE CATALOG other; USE films;
"""
    + REVIEWS
    + REVIEWS.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
    + """
CREATE FUNCTION IF NOT EXISTS shout AS 'org.apache.flink.table.runtime.functions.scalar.CoalesceFunction';
USE CATALOG default_catalog;
CREATE TEMPORARY VIEW `the good ones` AS SELECT id, review, '😀 ; ML_PREDICT(' AS note FROM other.films.reviews
  WHERE stars > 3 AND id <> '${REGION}';
CREATE TEMPORARY MODEL IF NOT EXISTS claude INPUT (a STRING, b STRING) OUTPUT (id STRING, n BIGINT)
WITH ('provider' = 'anthropic', 'model' = 'claude-haiku-4-5', 'api-key' = '${ANTHROPIC_API_KEY}');
"""
    + MODEL
    + SINK
    + """
INSERT INTO results
SELECT id, 'ML_PREDICT(' AS label, CAST(id0 AS DOUBLE)
FROM ML_PREDICT(INPUT => TABLE other.films.reviews, MODEL => MODEL claude, ARGS => DESCRIPTOR(review, shouted));
EXECUTE STATEMENT SET BEGIN
  INSERT INTO results (id, score) SELECT p.note, p.score + 0 FROM (SELECT note, 1.0E0 AS score FROM `the good ones`) p;
  INSERT INTO default_database.results (score, id) SELECT p.score, '${REGION}'
    FROM ML_PREDICT(TABLE `the good ones`, MODEL judge, DESCRIPTOR(review)) AS p;
END;
SHOW TABLES;
USE CATALOG other;
"""
)


def test_whatever_flink_accepts_may_stand_in_a_file(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, MANY)
    first, second = pipeline.statements
    assert (first.name, second.name) == ("results", "results-2")
    assert first.input.identifier == "`other`.`films`.`reviews`"
    assert (first.definition.model.provider, first.definition.model.task) == ("anthropic", "messages")
    assert first.definition.model.descriptor == ("review", "shouted")
    assert [column.name for column in first.definition.row] == ["id", "review", "shouted"]
    assert [(each.source, each.column, each.literal) for each in first.definition.projection] == [
        ("input", "id", None),
        ("literal", None, "ML_PREDICT("),
        # Two columns of one name: the model's is id0 in the query, and id in its answer.
        ("output", "id", None),
    ]
    assert second.input.view
    assert second.input.topics == ()
    assert [(each.name, each.literal) for each in second.definition.projection] == [
        ("id", "it's é"),
        ("label", None),
        ("score", None),
    ]
    assert pipeline.flink == {"table.exec.source.idle-timeout": "5 s"}
    assert [warning.message for warning in pipeline.warnings] == ["it only shows something, and is passed over"]


def test_plain_inserts_keep_their_text_and_their_catalog(tmp_path: Path) -> None:
    (plain,) = pipeline_of(tmp_path, MANY).plain
    assert plain.sql.startswith("INSERT INTO results (id, score) SELECT p.note")
    assert plain.sql.endswith("FROM `the good ones`) p")
    assert (plain.catalog, plain.database) == ("default_catalog", "default_database")


def test_casts_stars_and_metadata_of_a_sink(tmp_path: Path) -> None:
    text = (
        SETTINGS
        + REVIEWS
        + MODEL
        + """
CREATE TABLE wide (id VARCHAR(5), review STRING, stars BIGINT, written TIMESTAMP(3), part BIGINT, shouted STRING,
  label STRING, score DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'wide', 'format' = 'json', 'properties.bootstrap.servers' = '${BROKER}');
CREATE TABLE tagged (h MAP<STRING, BYTES> METADATA FROM 'headers', label STRING, t TIMESTAMP_LTZ(3) METADATA FROM
  'timestamp', score FLOAT, n DECIMAL(5, 2))
WITH ('connector' = 'kafka', 'topic' = 'tagged', 'format' = 'json', 'properties.bootstrap.servers' = '${BROKER}');
INSERT INTO wide SELECT * FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review));
INSERT INTO tagged (label, score, n)
SELECT CAST(stars AS STRING), CAST(score AS FLOAT), 1.25
FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review));
"""
    )
    wide, tagged = (statement.definition for statement in pipeline_of(tmp_path, text).statements)
    assert [each.column for each in wide.projection] == [
        "id", "review", "stars", "written", "part", "shouted", "label", "score",
    ]  # fmt: skip
    casts = {each.name: [(step.root, step.length) for step in each.casts] for each in wide.projection if each.casts}
    assert casts == {"id": [("VARCHAR", 5)], "stars": [("BIGINT", None)]}
    assert [(each.name, each.literal) for each in tagged.projection] == [
        ("label", None), ("score", None), ("n", "1.25"), ("h", None), ("t", None),
    ]  # fmt: skip
    assert (tagged.sink.headers_column, tagged.sink.timestamp_column) == ("h", "t")
    assert [column.name for column in tagged.sink.columns] == ["label", "score", "n"]
    assert [column.name for column in tagged.row] == ["review", "stars"]


def test_inputs_that_end_and_inputs_of_several_topics(tmp_path: Path) -> None:
    bounded = REVIEWS.replace("'topic' = 'reviews'", "'topic' = 'reviews; more', 'scan.bounded.mode' = 'latest-offset'")
    made = pipeline_of(tmp_path, SETTINGS + bounded + MODEL + SINK + INSERT)
    assert made.statements[0].input.topics == ("reviews", "more")
    assert made.bounded
    pattern = REVIEWS.replace("'topic' =", "'topic-pattern' =")
    made = pipeline_of(tmp_path, SETTINGS + pattern + MODEL + SINK + INSERT)
    assert made.statements[0].input.topics == ()
    assert "no positions" in made.warnings[0].message


def test_what_the_command_line_says_wins_over_the_file(tmp_path: Path) -> None:
    text = SETTINGS + "SET 'parallelism.default' = '3';" + REVIEWS + MODEL + SINK + INSERT
    reading = reading_of(tmp_path, text, options={"parallelism.default": "5"})
    assert reading.tables.get_config().get("parallelism.default", "") == "5"
    assert reading.pipeline is not None
    assert reading.pipeline.flink["parallelism.default"] == "3"


def test_a_sinks_password_stays_a_reference_and_flink_gets_the_value(tmp_path: Path) -> None:
    option = "'properties.sasl.mechanism' = 'PLAIN', 'properties.sasl.jaas.config' = 'org.apache.kafka.common.security"
    option += '.plain.PlainLoginModule required username="me" password="${KAFKA_PASSWORD}";\', '
    text = SETTINGS + REVIEWS + MODEL + SINK.replace("'properties", option + "'properties", 1) + INSERT
    reading = reading_of(tmp_path, text)
    assert not reading.faults.errors
    assert reading.pipeline is not None
    sink = reading.pipeline.statements[0].definition.sink
    assert sink.kafka["sasl.password"] == "${KAFKA_PASSWORD}"
    assert "hunter22" not in reading.pipeline.statements[0].definition.model_dump_json()
    assert "hunter22" not in repr(reading.pipeline)
    said = "\n".join(faults_of(tmp_path, text.replace("${KAFKA_PASSWORD}", "hunter22")))
    assert "option 'properties.sasl.jaas.config': a secret may not stand in the file" in said
    assert "hunter22" not in said


WRONG: list[tuple[str, str, str]] = [
    # what is replaced in the whole file, what by, what is said of it
    ("CREATE MODEL", "CREATE MODLE", "Flink can't parse it"),
    ("'${OPENAI_API_KEY}'", "'a-literal-key'", "option 'api-key': a key may not stand in the file"),
    ("'gpt-5-mini'", "'sk-proj-abcdefghijklmnopqrstuv'", "looks like a provider's key"),
    ("'topic' = 'reviews'", "'topic' = '${NOT_SET}'", "${NOT_SET} is not set: export the environment variable NOT_SET"),
    ("'gpt-5-mini'", "'gpt-5-mini', 'temprature' = '1'", "did you mean 'temperature'?"),
    ("TABLE reviews, MODEL", "TABLE review, MODEL", "there is no table `review`; did you mean 'reviews'?"),
    ("MODEL judge,", "MODEL juge,", "there is no model `juge`; did you mean 'judge'?"),
    ("DESCRIPTOR(review)", "DESCRIPTOR(revew)", "DESCRIPTOR names 'revew', which reviews does not have"),
    ("DESCRIPTOR(review)", "DESCRIPTOR(review, id)", "names 2 columns, and model judge has 1 of INPUT (text"),
    ("DESCRIPTOR(review)", "DESCRIPTOR(stars)", "column 'stars' is INT, and the model's INPUT 'text' is VARCHAR"),
    ("DESCRIPTOR(review))", "DESCRIPTOR(review), MAP['batch.size', '5'])", "a MAP of options in ML_PREDICT"),
    ("SELECT id, label", "SELECT id, labl", "Column 'labl' not found"),
    ("SELECT id, label", "SELECT id, UPPER(label)", "column 'label': it takes UPPER"),
    ("SELECT id, label", "SELECT id, label || id", "column 'label': it takes ||: only columns, literals"),
    ("SELECT id, label, score", "SELECT id, score, label", "Incompatible types for sink column"),
    ("DESCRIPTOR(review));", "DESCRIPTOR(review)) WHERE score > 0;", "WHERE can't stand above ML_PREDICT"),
    ("SELECT id, label", "SELECT DISTINCT id, label", "DISTINCT can't stand above ML_PREDICT"),
    ("DESCRIPTOR(review));", "DESCRIPTOR(review)) LIMIT 5;", "the FROM of a plain SELECT"),
    ("DESCRIPTOR(review));", "DESCRIPTOR(review)) JOIN reviews r ON TRUE;", "must be all that the FROM holds"),
    ("TABLE reviews, MODEL", "(SELECT * FROM reviews), MODEL", "reads a table or view by its name"),
    ("INSERT INTO results", "INSERT OVERWRITE results", "neither OVERWRITE nor PARTITION"),
    ("INSERT INTO results", "INSERT INTO resluts", "there is no table `resluts`; did you mean 'results'?"),
    ("'value.format' = 'json'", "'value.format' = 'avro'", "'avro' can't be written here"),
    ("id STRING, label STRING, score DOUBLE)", "id STRING, label STRING, score DOUBLE NOT NULL)",
     "'score' is NOT NULL, and a failed record has no answer"),
    ("  'scan.startup.mode' = 'earliest-offset'", "  'scan.parallelism' = '1'", "the input says not where to start"),
    ("INSERT INTO results", "CREATE VIEW late AS", "ML_PREDICT may stand only in INSERT INTO"),
    ("\nCREATE MODEL", "CREATE TABLE copied WITH ('connector' = 'blackhole') AS SELECT id FROM reviews;\nCREATE MODEL",
     "it would start a job of its own: write a CREATE TABLE and an INSERT INTO"),
    ("'gpt-5-mini'", "'gpt-5-mini', 'system-prompt' = 'As ${OPENAI_API_KEY}:'", "would be stored with the statement"),
    ("SET 'batchline.spool'", "SET 'batchline.spol'", "did you mean 'batchline.spool'?"),
    ("SET 'batchline.spool'", "SET 'execution.runtime-mode' = 'batch'; SET 'batchline.spool'", "in streaming mode"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "instead", "said"), WRONG)
def test_what_is_wrong_is_said_at_its_line(tmp_path: Path, part: str, instead: str, said: str) -> None:
    assert WHOLE.count(part) >= 1
    text = WHOLE.replace(part, instead, 1)
    found = faults_of(tmp_path, text)
    assert any(said in fault for fault in found), found
    for secret in ("the-openai-key", "a-literal-key", "hunter22", "sk-proj-"):
        assert not any(secret in fault for fault in found)
    named = [fault for fault in found if said in fault]
    line = line_of(text, instead.strip("\n ").splitlines()[0][:20]) if instead else 0
    near = {int(fault.split(":")[1]) for fault in named if fault.split(":")[1].isdigit()}
    assert near, named
    assert min(abs(line - each) for each in near) < 10, named


CHANGING = """
CREATE VIEW counted AS SELECT id, CAST(COUNT(*) AS STRING) AS review FROM reviews GROUP BY id;
"""
UPSERT = """
CREATE TABLE latest (id STRING, label STRING, score DOUBLE, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'upsert-kafka', 'topic' = 'latest', 'key.format' = 'json', 'value.format' = 'json',
  'properties.bootstrap.servers' = '${BROKER}');
"""


def test_only_added_rows_can_be_sent(tmp_path: Path) -> None:
    text = SETTINGS + REVIEWS + CHANGING + MODEL + SINK + INSERT.replace("TABLE reviews", "TABLE counted")
    (said,) = faults_of(tmp_path, text)
    assert "the input changes or removes rows" in said
    text = (
        SETTINGS
        + UPSERT
        + MODEL
        + SINK
        + INSERT.replace("TABLE reviews", "TABLE latest")
        .replace("SELECT id, label", "SELECT id, label0")
        .replace("score FROM", "score0 FROM")
        .replace("DESCRIPTOR(review)", "DESCRIPTOR(label)")
    )
    (said,) = faults_of(tmp_path, text)
    assert "the input changes or removes rows" in said


def test_a_sink_that_is_no_plain_kafka_table_is_refused(tmp_path: Path) -> None:
    text = SETTINGS + REVIEWS + UPSERT + MODEL + INSERT.replace("INTO results", "INTO latest")
    assert any("use 'kafka', which keeps every answer" in fault for fault in faults_of(tmp_path, text))


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = (
        WHOLE.replace("SET 'batchline.state-store'", "SET 'batchline.state-stor'")
        .replace("'gpt-5-mini'", "'gpt-5-mini', 'n' = '0'")
        .replace("'value.format' = 'json'", "'value.format' = 'csv'")
        .replace("DESCRIPTOR(review)", "DESCRIPTOR(nothing)")
    ) + "CREATE TABLE again (id STRIN) WITH ('connector' = 'blackhole'); INSERT INTO nowhere SELECT id FROM reviews;"
    said = "\n".join(faults_of(tmp_path, text, {"BROKER": "b:1"}))
    for part in (
        "did you mean 'batchline.state-store'?",
        "option 'n': it can't be used",
        "OPENAI_API_KEY is not set",
        "'csv' can't be written here",
        "DESCRIPTOR names 'nothing'",
        "STRIN",
        "there is no table `nowhere`",
    ):
        assert part in said


def test_a_file_without_our_insert_has_nothing_to_send(tmp_path: Path) -> None:
    (said,) = faults_of(tmp_path, SETTINGS + REVIEWS)
    assert "no INSERT … FROM ML_PREDICT(…) stands in the file" in said


def test_a_plain_insert_of_values_ends_and_one_of_an_endless_source_does_not(tmp_path: Path) -> None:
    ends = REVIEWS.replace("'topic' = 'reviews'", "'topic' = 'reviews', 'scan.bounded.mode' = 'latest-offset'")
    text = SETTINGS + ends + MODEL + SINK + INSERT + "INSERT INTO results VALUES ('ML_PREDICT(;', 'x', 1);"
    assert pipeline_of(tmp_path, text).bounded
    endless = "CREATE TABLE noise (id STRING) WITH ('connector' = 'datagen'); INSERT INTO results (id) TABLE noise;"
    assert not pipeline_of(tmp_path, text + endless).bounded
