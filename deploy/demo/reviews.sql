-- The demo's job: every movie review of topic `reviews` gets a sentiment, through OpenAI's or Anthropic's
-- batch API. ${NAME} is taken from the environment; the key is only ever named.
SET 'batchline.pipeline'    = 'review-sentiment';
SET 'batchline.spool'       = '${DEMO_SPOOL}';
SET 'batchline.state-store' = '${DEMO_STATE_STORE}';
-- Minutes suit production; seconds let a demo end soon.
SET 'execution.checkpointing.interval' = '2 s';

CREATE TABLE reviews (review_id STRING, review STRING, stars INT)
WITH ('connector' = 'kafka', 'topic' = 'reviews', 'format' = 'json',
      'properties.bootstrap.servers' = '${DEMO_BOOTSTRAP_SERVERS}',
      -- From the first record to the last one that is there now: then the job ends by itself.
      'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset');

CREATE TABLE sentiments (review_id STRING, label STRING, score DOUBLE)
WITH ('connector' = 'kafka', 'topic' = 'sentiments',
      'key.format' = 'json', 'key.fields' = 'review_id', 'value.format' = 'json',
      'properties.bootstrap.servers' = '${DEMO_BOOTSTRAP_SERVERS}',
      'properties.isolation.level' = 'read_committed');

CREATE MODEL sentiment
INPUT (review STRING)
OUTPUT (label STRING COMMENT 'positive, negative or neutral', score DOUBLE COMMENT 'from -1, worst, to 1, best')
      -- such as 'openai', 'https://api.openai.com/v1/chat/completions', 'gpt-5-mini'
WITH ('provider' = '${DEMO_PROVIDER}', 'endpoint' = '${DEMO_ENDPOINT}', 'model' = '${DEMO_MODEL}',
      'api-key' = '${DEMO_API_KEY}',
      'system-prompt' = 'Classify the sentiment of the movie review.',
      'batch.max-requests' = '4000', 'batch.max-age' = '5 s');

INSERT INTO sentiments
SELECT review_id, label, score
FROM ML_PREDICT(TABLE reviews, MODEL sentiment, DESCRIPTOR(review));
