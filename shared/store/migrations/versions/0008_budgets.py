"""Budgets: what a day may cost, what each batch has reserved and spent of it; the view pipeline_daily shows it."""

import sqlalchemy as sa
from alembic import op

from shared.store.columns import UtcTime

revision = "0008"
down_revision = "0007"

SQLITE = {"day": "substr({}, 1, 10)", "sum": "coalesce(sum({}), 0)"}
POSTGRESQL = {
    "day": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "sum": "CAST(coalesce(sum({}), 0) AS BIGINT)",
}
COUNTS = ("records", "in_flight", "succeeded", "failed", "input_tokens", "output_tokens")
COSTS = ("cost_usd", "sync_cost_usd", "saved_usd")

PIPELINE_DAILY = """
CREATE VIEW pipeline_daily AS
WITH sealed AS (
    SELECT
        pipeline, {day} AS day, count(*) AS batches,
        {records} AS records, {in_flight} AS in_flight, {succeeded} AS succeeded, {failed} AS failed,
        {input_tokens} AS input_tokens, {output_tokens} AS output_tokens,
        sum(cost_usd) AS cost_usd, sum(sync_cost_usd) AS sync_cost_usd, sum(sync_cost_usd - cost_usd) AS saved_usd
    FROM batches GROUP BY pipeline, {day}
),
charged AS (
    SELECT pipeline, day, sum(spent_usd) AS spent_usd, sum(reserved_usd) AS reserved_usd
    FROM charges GROUP BY pipeline, day
),
days AS (SELECT pipeline, day FROM sealed UNION SELECT pipeline, day FROM charged)
SELECT
    days.pipeline, days.day, coalesce(sealed.batches, 0) AS batches, {counts}, {costs},
    coalesce(charged.spent_usd, 0.0) AS spent_usd, coalesce(charged.reserved_usd, 0.0) AS reserved_usd,
    budgets.limit_usd AS max_cost_usd
FROM days
LEFT JOIN sealed ON sealed.pipeline = days.pipeline AND sealed.day = days.day
LEFT JOIN charged ON charged.pipeline = days.pipeline AND charged.day = days.day
LEFT JOIN budgets ON budgets.pipeline = days.pipeline AND budgets.statement = ''
"""


def upgrade() -> None:
    _tables()
    say = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    sums = {name: say["sum"].format(name) for name in ("succeeded", "failed", "input_tokens", "output_tokens")}
    sums["records"] = say["sum"].format("CASE WHEN generation = 0 THEN records END")
    sums["in_flight"] = say["sum"].format("records - succeeded - failed - carried")
    counts = ", ".join(f"coalesce(sealed.{name}, 0) AS {name}" for name in COUNTS)
    costs = ", ".join(f"coalesce(sealed.{name}, 0.0) AS {name}" for name in COSTS)
    op.execute("DROP VIEW pipeline_daily")
    op.execute(PIPELINE_DAILY.format(**sums, day=say["day"].format("sealed_at"), counts=counts, costs=costs))


def _tables() -> None:
    op.add_column("batches", sa.Column("model_name", sa.Text))
    op.create_table(
        "budgets",
        *(sa.Column(name, sa.Text, primary_key=True, nullable=False) for name in ("pipeline", "statement")),
        sa.Column("model_name", sa.Text),
        sa.Column("limit_usd", sa.Float, nullable=False),
        sa.Column("stated_at", UtcTime, nullable=False),
    )
    op.create_table(
        "charges",
        sa.Column("batch_key", sa.String(64), primary_key=True, nullable=False),
        sa.Column("day", sa.String(10), primary_key=True, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("reserved_usd", "spent_usd")),
    )
    op.create_index("ix_charges_day", "charges", ["pipeline", "day"])
