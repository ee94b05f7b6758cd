"""The four ways in which the same reviews are asked the same, each as the SQL that a user would write. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MODEL = "gpt-5-mini"
SHORT = "Classify the sentiment of the movie review."
"""The demo's."""
GUIDE = f"""{SHORT} The label is one word: positive, negative or neutral.
Judge what the writer feels about the movie, not what happens in it: a sad story can be praised, a cheerful one panned.
- positive: the writer recommends it, admires what carries the whole, or enjoyed it against all expectation.
- negative: the writer warns of it, was bored or annoyed, or praises it only to say what it could have been.
- neutral: the sentence only tells the plot, names who made it, or weighs good against bad without an end.
Irony counts as what it means. A comparison with another movie counts for the one that is reviewed. Where a sentence
was cut out of a longer review, judge by what is there, and guess no more than a careful reader would.
Swearing, praise for an actor alone and remarks on the audience decide nothing by themselves; neither does the length
of a sentence. If two labels fit equally well, take neutral.
"""
"""A labelling guide, some eight times a review: a prompt for twenty is then four times as long as one for one. By the
proposal's prices a call for twenty costs three times one for one."""

REVIEWS, SENTIMENTS = "reviews", "sentiments"
KEY = "BENCH_API_KEY"


@dataclass(frozen=True)
class Way:
    """`options` are the model's besides those that all ways share."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    is_flinks_own: bool = False

    @property
    def is_batch(self) -> bool:
        """Whether it is billed at the batches' price."""
        return not self.is_flinks_own and self.options.get("batch.mode") != "sync"


_PACKED = {"batch.size": "20"}
_SOON = {"batch.max-age": "5 s"}
WAYS = (
    Way("one call a record: Flink's own ML_PREDICT", is_flinks_own=True),
    Way("packed, synchronous", {"batch.mode": "sync", **_PACKED, **_SOON}),
    Way("batch", _SOON),
    Way("packed batch", {**_PACKED, **_SOON}),
)


@dataclass(frozen=True)
class Place:
    """Where a way runs."""

    bootstrap: str
    endpoint: str
    spool: str
    state_store: str


_PREDICT = "ML_PREDICT(TABLE reviews, MODEL sentiment, DESCRIPTOR(review))"


def script(way: Way, place: Place, instructions: str) -> list[str]:
    """The statements of its file, in order; batchline's settings only where batchline reads them."""
    settings = {
        "batchline.pipeline": "packing",
        "batchline.spool": place.spool,
        "batchline.state-store": place.state_store,
        # Minutes suit production; seconds let a bench end soon.
        "execution.checkpointing.interval": "2 s",
    }
    kafka = {"connector": "kafka", "properties.bootstrap.servers": place.bootstrap}
    source = {"topic": REVIEWS, "format": "json", "scan.startup.mode": "earliest-offset"}
    source |= {"scan.bounded.mode": "latest-offset"}
    sink = {"topic": SENTIMENTS, "key.format": "json", "key.fields": "review_id", "value.format": "json"}
    model = {
        "provider": "openai",
        "endpoint": place.endpoint,
        "model": MODEL,
        # Flink's own takes the key itself, where batchline takes its name alone.
        "api-key": "bench" if way.is_flinks_own else f"${{{KEY}}}",
        "system-prompt": instructions,
        **way.options,
    }
    return [
        *([] if way.is_flinks_own else [f"SET {_pair(name, value)}" for name, value in settings.items()]),
        f"CREATE TABLE reviews (review_id STRING, review STRING, stars INT) {_with(kafka | source)}",
        f"CREATE TABLE sentiments (review_id STRING, label STRING) {_with(kafka | sink)}",
        f"CREATE MODEL sentiment INPUT (review STRING) OUTPUT (label STRING) {_with(model)}",
        f"INSERT INTO sentiments SELECT review_id, label FROM {_PREDICT}",
    ]


def _with(options: Mapping[str, str]) -> str:
    return f"WITH ({', '.join(_pair(name, value) for name, value in options.items())})"


def _pair(name: str, value: str) -> str:
    return f"'{name}' = '{value.replace(chr(39), 2 * chr(39))}'"
