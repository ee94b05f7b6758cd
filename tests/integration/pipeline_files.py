"""Files for the tests of reading one: a common beginning, to which each test adds what it is about."""

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
