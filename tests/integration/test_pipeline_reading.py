from pathlib import Path

from tests.integration.pipeline_files import (
    INSERT,
    MODEL,
    REVIEWS,
    SETTINGS,
    SINK,
    WHOLE,
    faults_of,
    line_of,
    pipeline_of,
    reading_of,
)


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


def test_a_plain_insert_of_values_ends_and_one_of_an_endless_source_does_not(tmp_path: Path) -> None:
    ends = REVIEWS.replace("'topic' = 'reviews'", "'topic' = 'reviews', 'scan.bounded.mode' = 'latest-offset'")
    text = SETTINGS + ends + MODEL + SINK + INSERT + "INSERT INTO results VALUES ('ML_PREDICT(;', 'x', 1);"
    assert pipeline_of(tmp_path, text).bounded
    endless = "CREATE TABLE noise (id STRING) WITH ('connector' = 'datagen'); INSERT INTO results (id) TABLE noise;"
    assert not pipeline_of(tmp_path, text + endless).bounded


def test_a_number_makes_no_name_of_another_sink(tmp_path: Path) -> None:
    named = "CREATE TABLE `results-2` LIKE results;" + INSERT.replace("INTO results", "INTO `results-2`")
    made = pipeline_of(tmp_path, SETTINGS + REVIEWS + MODEL + SINK + INSERT + INSERT + named)
    assert [each.name for each in made.statements] == ["results", "results-3", "results-2"]


def test_extra_columns_of_an_answer_may_be_asked_for(tmp_path: Path) -> None:
    model = MODEL.replace(
        "score DOUBLE)",
        "`error-string` STRING, `http-status-code` INT, score DOUBLE)",
    )
    sink = SINK.replace(
        "score DOUBLE)", "score DOUBLE, said STRING, cost DECIMAL(9, 6), used INT, http INT, why STRING)"
    )
    insert = """
INSERT INTO results SELECT id, prediction_status, score, p.prediction_raw, CAST(prediction_cost AS DECIMAL(9, 6)),
  CAST(prediction_input_tokens AS INT), `http-status-code`, `error-string`
FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review)) AS p;
"""
    (statement,) = pipeline_of(tmp_path, SETTINGS + REVIEWS + model + sink + insert).statements
    definition = statement.definition
    assert [column.name for column in definition.model.output] == ["label", "score"]
    assert [(each.source, each.column) for each in definition.projection] == [
        ("input", "id"),
        ("extra", "prediction_status"),
        ("output", "score"),
        ("extra", "prediction_raw"),
        ("extra", "prediction_cost"),
        ("extra", "prediction_input_tokens"),
        ("extra", "http-status-code"),
        ("extra", "prediction_error"),
    ]


def test_a_column_of_ones_own_comes_before_an_extra_one_and_star_brings_none(tmp_path: Path) -> None:
    reviews = REVIEWS.replace("stars INT,", "stars INT, prediction_model STRING,")
    sink = SINK.replace("score DOUBLE)", "score DOUBLE, m STRING)")
    insert = INSERT.replace("score\nFROM", "score, prediction_model\nFROM").replace(
        "score FROM", "score, prediction_model FROM"
    )
    (statement,) = pipeline_of(tmp_path, SETTINGS + reviews + MODEL + sink + insert).statements
    assert [each.source for each in statement.definition.projection] == ["input", "output", "output", "input"]
    view = REVIEWS + "CREATE VIEW few AS SELECT id, review FROM reviews;"
    every = "INSERT INTO results SELECT * FROM ML_PREDICT(TABLE few, MODEL judge, DESCRIPTOR(review));"
    four = SINK.replace("id STRING,", "id STRING, review STRING,")
    (statement,) = pipeline_of(tmp_path, SETTINGS + view + MODEL + four + every).statements
    assert [each.source for each in statement.definition.projection] == ["input", "input", "output", "output"]


def test_what_is_wrong_with_extra_columns(tmp_path: Path) -> None:
    model = MODEL.replace(
        "score DOUBLE)",
        "score DOUBLE, `error-string` STRING, `http-status-code` STRING)",
    )
    sink = SINK.replace("label STRING", "label STRING NOT NULL")
    insert = INSERT.replace("id, label, score", "id, prediction_error, score")
    found = faults_of(tmp_path, SETTINGS + REVIEWS + model + sink + insert + insert.replace("id,", "*,"))
    for said in (
        "metadata 'http-status-code' is INT, and not STRING",
        "'label' is NOT NULL, and prediction_error is not known of every record",
        "prediction_error can't stand beside *: name the columns",
    ):
        assert any(said in fault for fault in found), found
