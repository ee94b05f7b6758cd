"""Definitions and sealed files for tests, as the submitter and Flink would write them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.definition import BatchOptions, Column, Definition, Model, Projected, Sink, Source, SqlType
from shared.spool import Files, SealedFile

STRING = SqlType(root="VARCHAR", length=2147483647)
DOUBLE = SqlType(root="DOUBLE")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def definition(
    *,
    pipeline: str = "pipe",
    statement: str = "sentiments",
    batch: BatchOptions | None = None,
    model: Mapping[str, Any] | None = None,
    sink: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Definition:
    """`SELECT review_id, label, score FROM ML_PREDICT(TABLE reviews, MODEL sentiment, DESCRIPTOR(review))`."""
    columns = (Column(name="label", type=STRING), Column(name="score", type=DOUBLE))
    values: dict[str, Any] = {
        "pipeline": pipeline,
        "statement": statement,
        "model": Model(
            **{
                "name": "sentiment",
                "provider": "openai",
                "task": "chat",
                "base_url": "http://127.0.0.1:9/v1",
                "path": "/v1/chat/completions",
                "api_key": "OPENAI_API_KEY",
                "model": "gpt-5-mini",
                "system_prompt": "Classify the sentiment of the review.",
                "input": (Column(name="review", type=STRING),),
                "descriptor": ("review",),
                "output": columns,
                **(model or {}),
            }
        ),
        "batch": batch or BatchOptions(),
        "row": (Column(name="review_id", type=STRING), Column(name="review", type=STRING)),
        "source": Source(cluster_id="cluster", topics=(("reviews", "topic-id"),)),
        "projection": (
            Projected(name="review_id", source="input", column="review_id", type=STRING),
            Projected(name="label", source="output", column="label", type=STRING),
            Projected(name="score", source="output", column="score", type=DOUBLE),
        ),
        "sink": Sink(
            **{
                "table": "sentiments",
                "topic": "sentiments",
                "bootstrap_servers": "127.0.0.1:9",
                "key_format": "json",
                "key_fields": ("review_id",),
                "columns": (Column(name="review_id", type=STRING), *columns),
                **(sink or {}),
            }
        ),
    }
    return Definition(**{**values, **changes})


def sealed_line(number: int, review: str | None, position: list[int] | None) -> bytes:
    """One row as Flink's JSON format writes it."""
    row = {"review_id": str(number), "review": review}
    return orjson.dumps({"row": row, "position": position}) + b"\n"


def seal(files: Files, stated: Definition, lines: Iterable[bytes], name: str = "part-0-0") -> SealedFile:
    """Write a finished file where Flink would have sealed it."""
    folder = f"{stated.pipeline}/{stated.statement}/sealed/{stated.hash}"
    path = files.work(folder) / name
    with path.open("wb") as file:
        file.writelines(lines)
    size = path.stat().st_size
    files.keep(folder, [name])
    return SealedFile(f"{folder}/{name}", stated.hash, size, EPOCH)
