"""Stage 2: a daemon, or a cron job, that watches batches and publishes one output for each record."""
