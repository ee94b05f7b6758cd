"""The definition of one statement: what is asked, of which model, and how its answers are written.

Frozen, versioned, and stored with every plan, so that an edited file touches later batches only.
It holds the names of secrets, never secrets.
"""

from __future__ import annotations

import hashlib
from typing import Literal
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue

Mode = Literal["batch", "sync"]
"""Whether requests go to the provider as a batch, or one by one to its synchronous endpoint."""

OnAmbiguous = Literal["quarantine", "hold"]
"""A create of unknown outcome that did not show through its whole quarantine: make another, or wait for a person."""


AnswerFormat = Literal["json", "xml", "delimited", "regex"]
"""How an answer's text is to be read."""

OnError = Literal["retry", "split", "individual", "null"]
"""What becomes of the records of an answer that can't be read: asked once more together, in halves, one by one at the
synchronous endpoint; or not at all.
"""


class Frozen(BaseModel):
    """A value that never changes and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SqlType(Frozen):
    """A Flink logical type. `root` is Flink's LogicalTypeRoot name (VARCHAR, BIGINT, DECIMAL, ARRAY, ROW …)."""

    root: str
    nullable: bool = True
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    element: SqlType | None = None
    """Of an ARRAY or MULTISET; the value type of a MAP."""
    key: SqlType | None = None
    """Of a MAP."""
    fields: tuple[Column, ...] = ()
    """Of a ROW."""


class Column(Frozen):
    """A named, typed column; `comment` is its SQL comment."""

    name: str
    type: SqlType
    comment: str | None = None


class Projected(Frozen):
    """One column that the SELECT gives to the sink: an input or output column or a literal, cast from left to right."""

    name: str
    """The sink's column."""
    source: Literal["input", "output", "literal", "extra"]
    """`extra`: what is known of the answer; a name of `shared.extras`."""
    column: str | None = None
    literal: JsonValue = None
    type: SqlType
    """The type of the source column or literal."""
    casts: tuple[SqlType, ...] = ()


class Source(Frozen):
    """Where the input's positions come from: its Kafka topics, in the order of a position's first number.

    A recreated topic has another id, and so another definition.
    """

    cluster_id: str
    topics: tuple[tuple[str, str], ...]
    """(name, topic id) of each."""


class Sink(Frozen):
    """How results are written, from the sink table's own options."""

    table: str
    topic: str
    bootstrap_servers: str
    kafka: dict[str, str] = {}
    """More librdkafka properties; a secret stands as ${NAME}."""
    key_format: Literal["json", "raw"] | None = None
    key_fields: tuple[str, ...] = ()
    key_fields_prefix: str = ""
    value_format: Literal["json", "raw"] = "json"
    value_fields_include: Literal["ALL", "EXCEPT_KEY"] = "ALL"
    key_options: dict[str, str] = {}
    """Options of the key format without their prefix, such as timestamp-format.standard."""
    value_options: dict[str, str] = {}
    columns: tuple[Column, ...]
    """The physical columns, in the table's order."""
    headers_column: str | None = None
    timestamp_column: str | None = None


class Model(Frozen):
    """A model and the options that shape its requests, under Flink's names."""

    name: str
    provider: Literal["openai", "anthropic"]
    task: Literal["chat", "responses", "embeddings", "moderations", "messages"]
    base_url: str
    """The provider's address without the task's own path, such as https://api.openai.com/v1."""
    path: str
    """The task's path below the host, such as /v1/chat/completions."""
    api_key: str
    """The NAME in ${NAME}: each process takes the value from its own environment."""
    model: str
    system_prompt: str | None = None
    parameters: dict[str, JsonValue] = {}
    """Flink's option names and typed values: temperature, top-p, max-tokens, stop, n, seed, dimension …"""
    extra_body: dict[str, JsonValue] = {}
    profile: dict[str, JsonValue] = Field(default={}, exclude_if=lambda said: not said)
    """What is said of its service: fields of shared.providers.port.Profile, times in seconds."""
    input: tuple[Column, ...]
    """The model's own INPUT columns: the names that `batch.prompt` knows."""
    descriptor: tuple[str, ...]
    """The row's column that fills each of them, as DESCRIPTOR names it."""
    output: tuple[Column, ...]

    @property
    def account(self) -> str:
        """What limits and credit belong to: provider, host and the name of the key; no secret."""
        return f"{self.provider}:{self.api_key}@{urlsplit(self.base_url).netloc}"


class BatchOptions(Frozen):
    """The options under `batch.`; times in seconds, sizes in bytes. None means: as the provider's profile says."""

    size: int | Literal["auto"] = 1
    """Records in one request, at most; `auto`: as many as fit."""
    max_requests: int | None = None
    max_bytes: int | None = None
    max_age: float = 900.0
    request_timeout: float = 30.0
    max_retries: int = 3
    error_topic: str | None = None
    prompt: str | None = None
    # Left out of the JSON at their defaults: definitions that were stored before these options keep their hashes.
    mode: Mode = Field(default="batch", exclude_if=lambda mode: mode == "batch")
    deadline: float | None = Field(default=None, exclude_if=lambda seconds: seconds is None)
    """From the seal: when it nears, what is finished is taken, and the rest goes on as `fallback` says."""
    fallback: Literal["sync"] | None = Field(default=None, exclude_if=lambda road: road is None)
    fallback_max_cost: float | None = Field(default=None, exclude_if=lambda dollars: dollars is None)
    """US dollars for what is asked synchronously of one sealed batch, and of all that is carried from it."""
    fallback_max_concurrency: int = Field(default=16, exclude_if=lambda calls: calls == 16)
    """Synchronous calls at once, at most; fewer while the provider throttles."""
    max_enqueued_tokens: int | None = Field(default=None, exclude_if=lambda tokens: tokens is None)
    """Prompt tokens in a provider's queue for the model, where it counts those: what is above waits."""
    max_queued_requests: int | None = Field(default=None, exclude_if=lambda requests: requests is None)
    """Requests in a provider's queue for the account, where it counts those."""
    deduplicate: bool = Field(default=False, exclude_if=lambda chosen: not chosen)
    """Records of a batch that ask the same are asked once."""
    deduplicate_ttl: float | None = Field(default=None, exclude_if=lambda seconds: seconds is None)
    """For so long answers are kept, for records of later batches that ask the same."""
    max_cost_per_day: float | None = Field(default=None, exclude=True)
    """US dollars. The store keeps it beside the definition: who raises it sends what is held, and changes no batch."""
    media_columns: tuple[str, ...] | None = Field(default=None, exclude_if=lambda names: names is None)
    """INPUT columns that hold images and documents: their addresses, or bytes."""
    on_ambiguous: OnAmbiguous = Field(default="quarantine", exclude_if=lambda choice: choice == "quarantine")
    response_format: AnswerFormat | None = Field(default=None, exclude_if=lambda form: form is None)
    """None: as the OUTPUT columns ask; of several records JSON."""
    response_path: str | None = Field(default=None, exclude_if=lambda path: path is None)
    response_index_field: str = Field(default="index", exclude_if=lambda name: name == "index")
    response_value_field: str | None = Field(default=None, exclude_if=lambda name: name is None)
    response_delimiter: str = Field(default="|", exclude_if=lambda text: text == "|")
    response_pattern: str | None = Field(default=None, exclude_if=lambda pattern: pattern is None)
    response_on_error: OnError = Field(default="retry", exclude_if=lambda choice: choice == "retry")
    response_tokens: int | None = Field(default=None, exclude_if=lambda tokens: tokens is None)
    """Of the answer for one record, as expected; None: as the OUTPUT columns suggest."""
    context_window: int | None = Field(default=None, exclude_if=lambda tokens: tokens is None)
    """Of the model, in tokens; None: as it is known."""

    @property
    def is_packed(self) -> bool:
        """Whether requests are made for several records, even where one holds only one."""
        return self.size != 1


class Definition(Frozen):
    """One `INSERT INTO sink SELECT … FROM ML_PREDICT(…)`, resolved."""

    version: Literal[1] = 1
    pipeline: str
    statement: str
    model: Model
    batch: BatchOptions
    row: tuple[Column, ...]
    """The columns that are stored in sealed files: those that the prompt, the key or the projection needs."""
    source: Source | None = None
    """None where the input has no positions (a view, another connector)."""
    projection: tuple[Projected, ...]
    sink: Sink

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change when anything in it does."""
        return hashlib.sha256(self.canonical()).hexdigest()[:16]

    def canonical(self) -> bytes:
        """The JSON that is stored and hashed: the same definition always gives the same bytes."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
