"""What came out: counted in Kafka with read_committed, held against the human ratings, and priced."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from deploy.demo.reviews import Review

_TOTALS = text(
    "SELECT COUNT(*) AS batches, SUM(requests) AS requests, SUM(input_tokens) AS input_tokens,"
    " SUM(output_tokens) AS output_tokens, SUM(cost_usd) AS cost, SUM(sync_cost_usd) AS sync_cost FROM batches"
)


@dataclass(frozen=True)
class Outputs:
    """The sink topic, read to its end."""

    messages: int
    labels: dict[str, str | None]
    """By review id."""
    first: list[dict[str, Any]]


def read_outputs(bootstrap: str, topic: str) -> Outputs:
    """Read a topic to its end, as a read_committed consumer sees it."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "demo-report",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    values: list[dict[str, Any]] = []
    ended = 0
    while ended < len(partitions):
        for message in consumer.consume(1000, timeout=1):
            ended += _at_end(message)
            if message.error() is None:
                values.append(orjson.loads(message.value() or b"{}"))
    consumer.close()
    labels = {value["review_id"]: value["label"] for value in values}
    return Outputs(len(values), labels, sorted(values, key=lambda value: int(value["review_id"]))[:5])


def _at_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 its public name


def agreement(reviews: list[Review], labels: dict[str, str | None]) -> float:
    """The share of reviews whose label has the sign of the human rating, among those that got positive or negative."""
    signs = {"positive": 1, "negative": -1}
    judged = [(signs[label], review.rating) for review in reviews if (label := labels.get(review.review_id)) in signs]
    return sum(sign * rating > 0 for sign, rating in judged) / len(judged) if judged else 0.0


def show(console: Console, engine: Engine, reviews: list[Review], outputs: Outputs, seconds: float) -> bool:
    """Print the result; says whether every record came out exactly once."""
    with engine.connect() as connection:
        totals = connection.execute(_TOTALS).mappings().one()
    exact = outputs.messages == len(outputs.labels) == len(reviews)
    table = Table(show_header=False, box=None, padding=(0, 2))
    cost, sync = totals["cost"], totals["sync_cost"]
    kinds = Counter(str(label) for label in outputs.labels.values())
    rows = {
        "records in": f"{len(reviews):,}",
        "records out": f"{outputs.messages:,} ({len(outputs.labels):,} distinct)" + ("" if exact else "  NOT EXACT"),
        "batches": f"{totals['batches']:,}",
        "requests": f"{totals['requests']:,}",
        "tokens": f"{totals['input_tokens']:,} in, {totals['output_tokens']:,} out",
        "cost": f"${cost:.4f} instead of ${sync:.4f} synchronously" if cost is not None else "no price is known",
        "labels": ", ".join(f"{count:,} {label}" for label, count in kinds.most_common()),
        "agreement": f"{agreement(reviews, outputs.labels):.1%} of the non-neutral labels have the human rating's sign",
        "time": f"{seconds:.0f} s",
    }
    for row in rows.items():
        table.add_row(*row)
    console.print(table)
    texts = {review.review_id: review.text for review in reviews}
    first = Table("review_id", "label", "score", "review", title="the first five results", title_justify="left")
    for value in outputs.first:
        cells = value["review_id"], str(value["label"]), str(value["score"]), texts[value["review_id"]][:70]
        first.add_row(*cells)
    console.print(first)
    return exact
