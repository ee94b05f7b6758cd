"""What the model says: sentiment, structured output, or an echo that carries the SHA-256 of the prompt.

The same prompt always gets the same answer, so that a test can compute which answer belongs to which record.
"""

import base64
import hashlib
from array import array
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson

from deploy.sandbox.provider.asks import Ask, ask_of
from deploy.sandbox.provider.errors import ProviderError
from deploy.sandbox.provider.packed import Entry, Pack, entries, pack_of, written
from deploy.sandbox.provider.spoiling import spoilt_text
from deploy.sandbox.provider.structured import Filler, wants_sentiment

SEPARATORS = "\u2028\u2029\u0085"
REFUSAL = "I'm sorry, but I can't assist with that request."
# The thresholds that vaderSentiment's README gives for its compound score.
POSITIVE, NEGATIVE = 0.05, -0.05
# vaderSentiment's time grows with the square of the words (45 ms for 4 kB): what is no review is judged by its start.
LONGEST_REVIEW, START = 1_000, 200


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` as the model wrote it (JSON for a schema or tool); `cut` when it ends at max_tokens."""

    text: str
    input_tokens: int
    output_tokens: int
    cut: bool = False
    refused: bool = False
    several: bool = False
    after_fragment: bool = False
    pack: Pack | None = None
    entries: tuple[Entry, ...] = ()
    """What `text` says of each record of the pack."""


def tokens(characters: int) -> int:
    """Return the tokens of so many characters: a quarter, as the providers' rule of thumb says."""
    return (characters + 3) // 4


def prompt_tokens(ask: Ask) -> int:
    return tokens(ask.characters) + 4


WORDLESS = frozenset({"/v1/embeddings", "/v1/moderations"})
"""Endpoints whose model says nothing."""


def wordless(endpoint: str, ask: Ask) -> Answer:
    """Return what is billed at such an endpoint: a moderation is free."""
    return Answer("", 0 if endpoint == "/v1/moderations" else prompt_tokens(ask), 0)


def enqueued_tokens(endpoint: str, body: dict[str, Any]) -> int:
    """Return what a request takes of its model's queue: what it is billed for; nothing when it is invalid."""
    try:
        return prompt_tokens(ask_of(endpoint, body))
    except ProviderError:
        return 0


def prompt_hash(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def echo(prompt: str) -> str:
    """Return the answer to a prompt for which nothing better is known."""
    return f"sha256={prompt_hash(prompt)} {prompt[:80]}"


@cache
def _analyzer() -> Any:
    # Imported late: the process that serves HTTP never needs it.
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def sentiment(text: str) -> tuple[str, float]:
    """Return (positive, neutral or negative; compound in [-1, 1]) of a text; of a long one, of its start."""
    judged = text if len(text) <= LONGEST_REVIEW else text[:START]
    compound = float(_analyzer().polarity_scores(judged)["compound"])
    if compound >= POSITIVE:
        return "positive", compound
    return ("negative" if compound <= NEGATIVE else "neutral"), compound


def answer(ask: Ask, dictated: str | None = None) -> Answer:
    """Return the whole answer, cut only where the request's own max_tokens says so; ProviderError for a bad schema.

    What is dictated is said as it stands.
    """
    pack = pack_of(ask) if dictated is None else None
    listed = entries(pack, of_one) if pack is not None else []
    said = dictated if pack is None else written(pack, listed)
    text = _alone(ask) if said is None else said
    whole = Answer(text, prompt_tokens(ask), tokens(len(text)) or 1, pack=pack, entries=tuple(listed))
    if ask.max_tokens is not None and whole.output_tokens > ask.max_tokens:
        return cut(whole, ask.max_tokens * 4)
    return whole


def _alone(ask: Ask) -> str:
    value = of_one(ask)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def of_one(ask: Ask) -> Any:
    """What the model says of one text: a value that obeys the schema, or a text."""
    about_sentiment = "sentiment" in ask.system.lower()
    if ask.schema is None:
        return sentiment(ask.prompt)[0] if about_sentiment else echo(ask.prompt)
    feeling = sentiment(ask.prompt) if about_sentiment or wants_sentiment(ask.schema) else (None, None)
    try:
        return Filler(ask.schema, prompt_hash(ask.prompt), *feeling).value(ask.schema)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ProviderError(400, f"Invalid schema: {error}", code="invalid_json_schema") from None


def cut(whole: Answer, characters: int | None = None) -> Answer:
    """Return the answer cut after so many characters (half of it when None)."""
    text = whole.text[: len(whole.text) // 2 if characters is None else characters]
    return replace(whole, text=text, output_tokens=tokens(len(text)) or 1, cut=True)


def spoilt(whole: Answer, fault: str, options: dict[str, Any]) -> Answer:
    """Return the answer as a fault of the model leaves it."""
    if fault == "refusal":
        return replace(whole, text=REFUSAL, output_tokens=tokens(len(REFUSAL)), refused=True)
    if fault == "cut_at_max_tokens":
        return cut(whole)
    if fault in ("several_output_items", "answer_after_fragment"):
        several = fault == "several_output_items"
        return replace(whole, several=several, after_fragment=not several)
    if fault == "unicode_separators":
        return replace(whole, text=with_separators(whole.text))
    if fault in ("schema_broken", "packed_spoilt"):
        pack = None if whole.cut else whole.pack
        is_packed = fault == "packed_spoilt"
        text = (
            spoilt_text(whole.text, options["how"], pack, list(whole.entries)) if is_packed else _BROKEN[options["how"]]
        )
        return replace(whole, text=text, output_tokens=tokens(len(text)))
    return whole


_BROKEN = {"not_json": "Here is the answer you asked for: yes", "wrong_type": '{"label":[1],"x":{}}'}


def with_separators(text: str) -> str:
    """Put the three separators into the text: at its end, or into each string of a JSON object."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text + SEPARATORS + "end"
    if not isinstance(value, dict):
        return text + SEPARATORS
    marked = {key: part + SEPARATORS + "end" if isinstance(part, str) else part for key, part in value.items()}
    return orjson.dumps(marked).decode()


_COMPONENT = [(byte - 127.5) / 127.5 for byte in range(256)]
_SQUARE = [component * component for component in _COMPONENT]


def embedding(text: str, dimensions: int = 1536) -> list[float]:
    """Return a unit vector decided by the text alone (and fast: a table lookup for each component)."""
    stream = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(dimensions)
    norm = sum(map(_SQUARE.__getitem__, stream)) ** 0.5
    return [_COMPONENT[byte] / norm for byte in stream]


def embedding_base64(text: str, dimensions: int = 1536) -> str:
    """Return the vector as base64 of little-endian float32, the SDK's default transport."""
    return base64.b64encode(array("f", embedding(text, dimensions)).tobytes()).decode()
