"""Files for the tests of reading one, to which each test adds what it is about; and what comes of reading them."""

from collections.abc import Mapping
from pathlib import Path

from submitter.pipeline.check import NOTHING
from submitter.pipeline.reader import Reading, read
from submitter.pipeline.values import Pipeline

ENVIRON = {
    "BROKER": "nowhere:9092",
    "OPENAI_API_KEY": "the-openai-key",
    "ANTHROPIC_API_KEY": "the-anthropic-key",
    "KAFKA_PASSWORD": "hunter22",
    "REGION": "it's é",
}
SETTINGS = """-- ML_PREDICT( in a comment; and a quote '
SET 'batchline.pipeline' = 'reviews-of-films';
SET 'batchline.spool' = 'file:///nowhere/spool';
SET 'batchline.state-store' = 'sqlite:////nowhere/state.db';
"""
REVIEWS = """
CREATE TABLE reviews (id STRING, review STRING NOT NULL, stars INT, written TIMESTAMP(3) METADATA FROM 'timestamp',
  part BIGINT METADATA FROM 'partition' VIRTUAL, shouted AS UPPER(id), WATERMARK FOR written AS written)
WITH ('connector' = 'kafka', 'topic' = 'reviews', 'format' = 'json', 'properties.bootstrap.servers' = '${BROKER}',
  'scan.startup.mode' = 'earliest-offset');
"""
MODEL = """
CREATE MODEL judge INPUT (text STRING) OUTPUT (label STRING COMMENT 'good or bad', score DOUBLE)
WITH ('provider' = 'openai', 'model' = 'gpt-5-mini', 'api-key' = '${OPENAI_API_KEY}');
"""
SINK = """
CREATE TABLE results (id STRING, label STRING, score DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'results', 'key.format' = 'json', 'key.fields' = 'id', 'value.format' = 'json',
  'properties.bootstrap.servers' = '${BROKER}');
"""
INSERT = """
INSERT INTO results SELECT id, label, score FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(review));
"""
WHOLE = SETTINGS + REVIEWS + MODEL + SINK + INSERT


def line_of(text: str, part: str) -> int:
    """The line, from 1, on which `part` stands first."""
    return text[: text.index(part)].count("\n") + 1


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
