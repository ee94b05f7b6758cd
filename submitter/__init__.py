"""Stage 1: a Flink job that stages records, plans batches and submits them. `predict` adds it to a job of your own."""

from submitter.table_api.asked import BatchModel
from submitter.table_api.predict import predict

__all__ = ["BatchModel", "predict"]
