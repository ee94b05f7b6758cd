"""The demo's records: real movie-review snippets, each with the mean of twenty human ratings from -4 to 4.

`movieReviewSnippets_GroundTruth.txt` of vaderSentiment 3.3.2 (MIT): id, rating, text, tab-separated, one a line.
Its 10,604 complete lines are taken; a last one, 10605, lacks its line's end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Producer

FILE = Path(__file__).parents[2] / "data" / "movieReviewSnippets_GroundTruth.txt"


@dataclass(frozen=True)
class Review:
    """A snippet, and what people felt about it."""

    review_id: str
    rating: float
    text: str

    def record(self) -> bytes:
        """The record as the topic holds it; `stars` are the rating on the scale from 1 to 5."""
        return orjson.dumps({"review_id": self.review_id, "review": self.text, "stars": round(self.rating / 2) + 3})


def read_reviews(limit: int | None = None) -> list[Review]:
    """All reviews, or the first `limit`. Raises SystemExit that names the missing file."""
    if not FILE.exists():
        raise SystemExit(f"{FILE.name} is missing: run `make setup`")
    lines = FILE.read_bytes().decode().split("\r\n")[:-1]
    return [
        Review(fields[0], float(fields[1]), fields[2]) for fields in (line.split("\t", 2) for line in lines[:limit])
    ]


def produce(bootstrap: str, topic: str, reviews: Iterable[Review]) -> None:
    """Write the reviews to a topic, and return when the broker has them all."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "log_level": 3})
    for review in reviews:
        producer.produce(topic, review.record(), key=review.review_id)
    left = producer.flush(60)
    if left:
        raise SystemExit(f"{left} reviews could not be written to {topic} on {bootstrap}")
