"""Everything that is wrong with a file is told in one run: each mistake once, and nothing that only follows from it."""

from pathlib import Path

import pytest

from deploy.sandbox.broker import LocalBroker
from submitter.pipeline.check import check
from submitter.pipeline.faults import PipelineError
from tests.integration.pipeline_files import ENVIRON, INSERT, MODEL, REVIEWS, SETTINGS, SINK, faults_of, line_of
from tests.rig.fixtures import MakeTopic
from tests.rig.processes import Processes

NOBODY = "127.0.0.1:1"
"""A port that is reserved and never served."""
PATIENCE = 120

MANY = """
SET 'batchline.pipeline' = 'films/of the year';
SET 'batchline.spool' = 'file://{folder}/flat/spool';
SET 'batchline.state-store' = 'postgresql+psycopg://me@127.0.0.1:1/state';
SET 'batchline.retentoin' = '7 d';
SET 'parallelism.default' = 'many';
CREATE TABLE reviews (id STRING, review STRING, stars INT)
WITH ('connector' = 'kafka', 'topic' = 'not-there', 'format' = 'json', 'properties.bootstrap.servers' = '{broker}',
  'scan.startup.mode' = 'earliest-offset');
CREATE TABLE elsewhere (id STRING, review STRING)
WITH ('connector' = 'kafka', 'topic' = 'reviews', 'format' = 'json', 'properties.bootstrap.servers' = '{nobody}',
  'scan.startup.mode' = 'earliest-offset', 'properties.client.id' = '${{NOT_SET}}');
CREATE TABEL forgotten (id STRING) WITH ('connector' = 'kafka');
CREATE VIEW later AS SELECT * FROM forgotten;
CREATE TABLE typed (id STRIN) WITH ('connector' = 'blackhole');
CREATE MODEL judge INPUT (text STRING) OUTPUT (label STRING, score DOUBLE)
WITH ('provider' = 'openai', 'model' = 'gpt-5-mini', 'api-key' = 'a-literal-key', 'temprature' = '1', 'top-p' = '7');
CREATE TABLE results (id STRING, label STRING, score DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'nor-there', 'key.format' = 'avro', 'value.format' = 'json',
  'properties.bootstrap.servers' = '{broker}');
CREATE TABLE lost (id STRING, label STRING NOT NULL, score DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'lost', 'value.format' = 'json', 'properties.bootstrap.servers' = '{nobody}');
CREATE TABLE files (id STRING, label STRING) WITH ('connector' = 'filesystem', 'path' = '/nowhere', 'format' = 'json');
INSERT INTO results SELECT id, labl, score FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review));
INSERT INTO results SELECT id, label, score FROM ML_PREDICT(TABLE reviews, MODEL juge, DESCRIPTOR(review));
INSERT INTO lost SELECT id, label, score FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(stars));
INSERT INTO lost SELECT id, UPPER(label), score FROM ML_PREDICT(TABLE elsewhere, MODEL judge, DESCRIPTOR(revew));
INSERT INTO files SELECT id, label || id FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review));
INSERT INTO results SELECT id, label, score FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review),
  MAP['temperature', 'hot', 'endpoint', 'https://elsewhere.example', 'sed', '1', 'n', 2, 'seed']);
INSERT INTO results (id) SELECT id FROM later;
INSERT INTO typed SELECT id FROM reviews;
"""
SAID = {
    "SET 'batchline.pipeline': it can't be used: 'films/of the year' can't name a folder": 1,
    "flat is no folder": 1,
    "the state store postgresql+psycopg://me@127.0.0.1:1/state can't be used": 1,
    "SET 'batchline.retentoin': there is no such setting; did you mean 'batchline.retention'?": 1,
    "SET 'parallelism.default': Flink can't use it": 1,
    "there is no topic not-there at": 5,  # each statement that reads it
    "${NOT_SET} is not set": 1,
    'Encountered "TABEL"': 1,
    "Unknown identifier 'STRIN'": 1,
    "option 'api-key': a key may not stand in the file": 1,
    "option 'temprature': there is no such option; did you mean 'temperature'?": 1,
    "option 'top-p': it can't be used": 1,
    "there is no topic nor-there at": 3,
    "option 'key.format': 'avro' can't be written here": 1,
    "option 'key.fields'": 0,  # of a key whose format is not known
    "Kafka at 127.0.0.1:1 does not answer": 1,
    "Column 'labl' not found": 1,
    "there is no model `juge`; did you mean 'judge'?": 1,
    "column 'stars' is INT": 1,
    "the sink's column 'label' is NOT NULL": 1,
    "column 'label': it takes UPPER": 1,
    "DESCRIPTOR names 'revew', which elsewhere does not have; did you mean 'review'?": 1,
    "option 'connector': the sink is connector 'filesystem'": 1,
    "column 'label': it takes ||": 1,
    "option 'temperature': it can't be used: 'hot' is no number": 1,
    "option 'endpoint': a query can't give it": 1,
    "option 'sed': there is no such option; did you mean 'seed'?": 1,
    "option 'n': its value in MAP[…] must be a string literal": 1,
    "option 'seed': MAP[…] has no value for it": 1,
}


def test_each_of_many_mistakes_is_told_once(tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic) -> None:
    make_topic("reviews")
    (tmp_path / "flat").write_text("")
    file = tmp_path / "file.sql"
    file.write_text(MANY.format(folder=tmp_path, broker=broker.bootstrap, nobody=NOBODY))
    with pytest.raises(PipelineError) as caught:
        check(file, ENVIRON)
    found = str(caught.value).splitlines()
    for part, times in SAID.items():
        assert sum(part in fault for fault in found) == times, (part, found)
    assert len(found) == sum(SAID.values()), found
    assert "a-literal-key" not in str(caught.value)


def test_the_command_tells_each_of_ten_mistakes(
    tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic, processes: Processes
) -> None:
    texts = {
        SETTINGS.replace("file:///nowhere", tmp_path.as_uri()).replace("/nowhere/", f"{tmp_path}/"): (),
        "SET 'batchline.retentoin' = '7 d';\n": ("there is no such setting; did you mean 'batchline.retention'?",),
        REVIEWS.replace("'topic' = 'reviews'", f"'topic' = '{make_topic()}'"): (),
        "CREATE TABEL forgotten (id STRING);\n": ('Encountered "TABEL"',),
        "CREATE TABLE typed (id STRIN) WITH ('connector' = 'blackhole');\n": ("Unknown identifier 'STRIN'",),
        MODEL.replace("'gpt-5-mini'", "'gpt-5-mini', 'top-p' = '7'"): (
            "option 'top-p': it can't be used: 7 is out of",
        ),
        SINK.replace("'topic' = 'results'", f"'topic' = '{make_topic()}'").replace("'json'", "'avro'", 1): (
            "option 'key.format': 'avro' can't be written here",
        ),
        INSERT.replace("score FROM", "scor FROM"): ("Column 'scor' not found",),
        INSERT.replace("judge", "juge"): ("there is no model `juge`; did you mean 'judge'?",),
        INSERT.replace("(review)", "(revew)"): ("DESCRIPTOR names 'revew', which reviews does not have",),
        INSERT.replace("(review)", "(review), MAP['temperature', 'hot',\n  'endpoint', 'https://elsewhere.example']"): (
            "option 'temperature': it can't be used: 'hot' is no number",
            "option 'endpoint': a query can't give it",
        ),
    }
    file = tmp_path / "ten.sql"
    file.write_text("".join(texts))
    command = processes.command("submitter", "check", file, env={**ENVIRON, "BROKER": broker.bootstrap})
    assert command.wait(PATIENCE) == 2
    found = [line for line in command.tail(100).splitlines() if line.startswith(str(file))]
    wanted = [said for each in texts.values() for said in each]
    assert len(wanted) == len(found) == 10, found
    for said in wanted:
        (line,) = (each for each in found if said in each)
        assert line.removeprefix(f"{file}:").partition(":")[0].isdigit(), line


WRONG_LATER = SINK.replace("'key.format' = 'json'", "'key.format' = 'avro'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # what stands between two statements that are judged, and what is said of it
        (MODEL.replace("CREATE MODEL", "CREATE MODLE"), 'Encountered "MODLE"'),
        (MODEL.replace("'provider' =", "'provider'"), "Encountered"),
        (MODEL.replace("WITH (", "WITH ('seed' = 20, "), 'Encountered "20"'),
        (MODEL.replace(";", ""), 'Encountered "CREATE"'),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO a SELEC 1; END;" + MODEL, "can't parse it"),
    ],
)
def test_a_statement_that_flink_cannot_parse_leaves_the_others_to_be_judged(
    tmp_path: Path, text: str, said: str
) -> None:
    whole = SETTINGS + REVIEWS.replace("stars INT", "stars INTT") + text + WRONG_LATER + INSERT
    found = faults_of(tmp_path, whole)
    assert any("INTT" in fault for fault in found)
    (refused,) = (fault for fault in found if "Flink can't parse it" in fault)
    assert said in refused
    assert "a word of SQL's own" not in refused
    assert refused.startswith(f"file.sql:{line_of(whole, text.strip().splitlines()[0])}:") or "file.sql:1" in refused
    assert ("'avro' can't be written here" in "\n".join(found)) == (text.strip()[-1] == ";")


@pytest.mark.parametrize(
    "broken", [REVIEWS.replace("'topic' = 'reviews'", "'topic' = 'reviews"), "SELECT ` FROM x;", "/* not closed "]
)
def test_what_follows_an_open_quotation_mark_is_not_judged(tmp_path: Path, broken: str) -> None:
    found = faults_of(tmp_path, SETTINGS + REVIEWS.replace("stars INT", "stars INTT") + broken + WRONG_LATER + INSERT)
    assert len(found) == 2
    assert "Unknown identifier 'INTT'" in found[0] + found[1]
    assert any("has no end, so that what follows is not judged" in fault for fault in found)


def test_a_key_in_a_statement_that_flink_cannot_parse_is_not_shown(tmp_path: Path) -> None:
    key = "sk-proj-abcdefghijklmnopqrstuv"
    model = MODEL.replace("'api-key' = '${OPENAI_API_KEY}'", f"'api-key' = x '{key}', 'a' = y '${{OPENAI_API_KEY}}'")
    said = "\n".join(faults_of(tmp_path, SETTINGS + REVIEWS + model + SINK + INSERT))
    assert "Flink can't parse it" in said
    assert "looks like a provider's key" in said
    assert key not in said
    assert "the-openai-key" not in said


@pytest.mark.parametrize("text", ["", "-- nothing\n", ";"])
def test_an_empty_file_says_what_is_missing(tmp_path: Path, text: str) -> None:
    found = faults_of(tmp_path, text)
    assert not any("parse" in fault for fault in found)
    assert sum("is missing" in fault for fault in found) == 3
    assert any("there is nothing to send" in fault for fault in found)
