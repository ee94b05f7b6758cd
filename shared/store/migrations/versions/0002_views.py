"""The views that a dashboard reads: batch_status, pipeline_status, pipeline_daily."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATES = (
    "sealed",
    "held",
    "submitting",
    "ambiguous",
    "submitted",
    "running",
    "ended",
    "collected",
    "published",
    "failed",
    "lost",
)
IN_FLIGHT = "records - succeeded - failed - carried"

# What differs between the databases: a moment's age in seconds, its day in UTC, a sum that stays an integer.
SQLITE = {
    "age": "CAST(round((julianday('now') - julianday({})) * 86400) AS INTEGER)",
    "day": "substr({}, 1, 10)",
    "sum": "coalesce(sum({}), 0)",
}
POSTGRESQL = {
    "age": "CAST(extract(epoch FROM now() - {}) AS BIGINT)",
    "day": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "sum": "CAST(coalesce(sum({}), 0) AS BIGINT)",
}

BATCH_STATUS = """
CREATE VIEW batch_status AS
SELECT
    batch_key, pipeline, statement, provider, account, model, state, held_reason, held_until, provider_batch_id,
    generation, parent, requests, records, {in_flight} AS in_flight, succeeded, failed, carried,
    CASE WHEN state NOT IN ('published', 'failed') THEN {age} END AS waiting_seconds,
    sealed_at, submitted_at, ended_at, published_at, expires_at, results_expire_at, next_check_at, error,
    input_tokens, output_tokens, estimated_cost_usd, cost_usd, sync_cost_usd, sync_cost_usd - cost_usd AS saved_usd
FROM batches
"""

PIPELINE_STATUS = """
CREATE VIEW pipeline_status AS
WITH totals AS (
    SELECT
        pipeline,
        {records} AS records, {in_flight} AS in_flight, {succeeded} AS succeeded, {failed} AS failed,
        {carried} AS carried, count(*) AS batches, {by_state},
        min(CASE WHEN state NOT IN ('published', 'failed') THEN sealed_at END) AS oldest_waiting_at,
        max(published_at) AS last_published_at,
        {input_tokens} AS input_tokens, {output_tokens} AS output_tokens,
        coalesce(sum(cost_usd), 0.0) AS cost_usd, coalesce(sum(sync_cost_usd), 0.0) AS sync_cost_usd,
        coalesce(sum(sync_cost_usd - cost_usd), 0.0) AS saved_usd
    FROM batches GROUP BY pipeline
),
files AS (SELECT pipeline, {skipped} AS skipped FROM sealed_files GROUP BY pipeline),
surplus AS (
    SELECT b.pipeline, count(*) AS duplicates FROM strays s JOIN batches b ON b.batch_key = s.batch_key
    GROUP BY b.pipeline
),
names AS (SELECT name FROM pipelines UNION SELECT pipeline FROM batches)
SELECT
    names.name AS pipeline, runs.epoch AS run, runs.started_at AS run_started_at, runs.ended_at AS run_ended_at,
    runs.outcome AS run_outcome,
    {zeros},
    coalesce(files.skipped, 0) AS skipped_as_paid, coalesce(surplus.duplicates, 0) AS duplicate_batches,
    totals.oldest_waiting_at, {age} AS oldest_waiting_seconds, totals.last_published_at,
    coalesce(totals.cost_usd, 0.0) AS cost_usd, coalesce(totals.sync_cost_usd, 0.0) AS sync_cost_usd,
    coalesce(totals.saved_usd, 0.0) AS saved_usd
FROM names
LEFT JOIN totals ON totals.pipeline = names.name
LEFT JOIN files ON files.pipeline = names.name
LEFT JOIN surplus ON surplus.pipeline = names.name
LEFT JOIN pipelines ON pipelines.name = names.name
LEFT JOIN runs ON runs.pipeline = pipelines.name AND runs.epoch = pipelines.epoch
"""

PIPELINE_DAILY = """
CREATE VIEW pipeline_daily AS
SELECT
    pipeline, {day} AS day, count(*) AS batches,
    {records} AS records, {in_flight} AS in_flight, {succeeded} AS succeeded, {failed} AS failed,
    {input_tokens} AS input_tokens, {output_tokens} AS output_tokens,
    coalesce(sum(cost_usd), 0.0) AS cost_usd, coalesce(sum(sync_cost_usd), 0.0) AS sync_cost_usd,
    coalesce(sum(sync_cost_usd - cost_usd), 0.0) AS saved_usd
FROM batches GROUP BY pipeline, {day}
"""


def upgrade() -> None:
    say = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    columns = ("succeeded", "failed", "carried", "input_tokens", "output_tokens", "skipped")
    sums = {name: say["sum"].format(name) for name in columns}
    # A carried record is counted once: in the batch that came from the sealed file.
    sums["records"] = say["sum"].format("CASE WHEN generation = 0 THEN records END")
    sums["in_flight"] = say["sum"].format(IN_FLIGHT)
    counts = [f"batches_{state}" for state in STATES]
    numbers = ["records", "in_flight", "succeeded", "failed", "carried", "batches", *counts]
    numbers += ["input_tokens", "output_tokens"]
    op.execute(BATCH_STATUS.format(in_flight=IN_FLIGHT, age=say["age"].format("sealed_at")))
    op.execute(
        PIPELINE_STATUS.format(
            **sums,
            by_state=", ".join(
                f"count(CASE WHEN state = '{state}' THEN 1 END) AS {name}"
                for state, name in zip(STATES, counts, strict=True)
            ),
            zeros=", ".join(f"coalesce(totals.{name}, 0) AS {name}" for name in numbers),
            age=say["age"].format("totals.oldest_waiting_at"),
        )
    )
    op.execute(PIPELINE_DAILY.format(**sums, day=say["day"].format("sealed_at")))
