from pathlib import Path

import pytest

from tests.integration.pipeline_files import (
    INSERT,
    MODEL,
    REVIEWS,
    SETTINGS,
    SINK,
    WHOLE,
    faults_of,
    line_of,
    reading_of,
)

WRONG: list[tuple[str, str, str]] = [
    # what is replaced in the whole file, what by, what is said of it
    ("CREATE MODEL", "CREATE MODLE", "Flink can't parse it"),
    ("(id STRING, label", "(raw STRING, label", "raw is a word of SQL's own: a name is written `raw`"),
    ("'${OPENAI_API_KEY}'", "'a-literal-key'", "option 'api-key': a key may not stand in the file"),
    ("'gpt-5-mini'", "'sk-proj-abcdefghijklmnopqrstuv'", "looks like a provider's key"),
    ("'topic' = 'reviews'", "'topic' = '${NOT_SET}'", "${NOT_SET} is not set: export the environment variable NOT_SET"),
    ("'gpt-5-mini'", "'gpt-5-mini', 'temprature' = '1'", "did you mean 'temperature'?"),
    ("TABLE reviews, MODEL", "TABLE review, MODEL", "there is no table `review`; did you mean 'reviews'?"),
    ("TABLE reviews, MODEL", "TABLE elsewhere, MODEL", "there is no table `elsewhere`: create it before this"),
    ("MODEL judge,", "MODEL juge,", "there is no model `juge`; did you mean 'judge'?"),
    ("DESCRIPTOR(review)", "DESCRIPTOR(revew)", "DESCRIPTOR names 'revew', which reviews does not have"),
    ("DESCRIPTOR(review)", "DESCRIPTOR(review, id)", "names 2 columns, and model judge has 1 of INPUT (text"),
    ("DESCRIPTOR(review)", "DESCRIPTOR(stars)", "column 'stars' is INT, and the model's INPUT 'text' is STRING: cast"),
    ("DESCRIPTOR(review))", "DESCRIPTOR(review), MAP['n', 'many'])", "option 'n': it can't be used: 'many' is"),
    ("SELECT id, label", "SELECT id, labl", "Column 'labl' not found"),
    ("SELECT id, label", "SELECT id, UPPER(label)", "column 'label': it takes UPPER"),
    ("SELECT id, label", "SELECT id, label || id", "column 'label': it takes ||: only columns, literals"),
    ("SELECT id, label, score", "SELECT id, score, label",
     "The SELECT gives (id: STRING, score: DOUBLE, label: STRING), and the sink takes (id: STRING, label: STRING, "),
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


IN_VIEW = "CREATE VIEW parsed AS SELECT id, JSON_STRING(PARSE_JSON(review)) AS review FROM reviews;"


@pytest.mark.parametrize(
    ("part", "instead", "said"),
    [
        ("stars INT", "stars VARIANT", "column 'stars' of reviews is a VARIANT, which Flink's JSON can't hold"),
        ("stars INT", "stars ROW<a ARRAY<VARIANT>>", "or has JSON_STRING(stars) in its place"),
        ("text STRING) OUTPUT (label STRING COMMENT 'good or bad'", "text STRING) OUTPUT (label VARIANT",
         "declare it as STRING and use PARSE_JSON in a second query"),
        ("results (id STRING, label STRING", "results (id STRING, label VARIANT",
         "declare it as STRING, and use PARSE_JSON where it is read"),
    ],
)  # fmt: skip
def test_a_variant_is_refused_with_what_to_write_in_its_place(
    tmp_path: Path, part: str, instead: str, said: str
) -> None:
    assert WHOLE.count(part) == 1
    found = faults_of(tmp_path, WHOLE.replace(part, instead))
    assert any(said in fault for fault in found), found
    assert not any("Unsupported type" in fault for fault in found), found


def test_a_variant_within_a_view_may_become_text(tmp_path: Path) -> None:
    text = SETTINGS + REVIEWS + IN_VIEW + MODEL + SINK + INSERT.replace("TABLE reviews", "TABLE parsed")
    assert faults_of(tmp_path, text) == []


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


def test_a_value_that_flink_can_not_use_is_told_where_it_was_given(tmp_path: Path) -> None:
    reading = reading_of(
        tmp_path,
        SETTINGS + "SET 'execution.checkpointing.interval' = 'soon';" + REVIEWS + MODEL + SINK + INSERT,
        options={"parallelism.default": "many"},
    )
    said = [fault.text("file.sql") for fault in reading.faults.errors]
    assert [each.partition(": Flink can't use it: ")[0] for each in said] == [
        "file.sql: -D 'parallelism.default'",
        "file.sql:5: SET 'execution.checkpointing.interval'",
    ]
