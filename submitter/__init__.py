"""Stage 1: a Flink job that stages records, plans batches and submits them."""
