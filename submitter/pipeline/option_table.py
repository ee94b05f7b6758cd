"""Every option of a model, one entry each: type, default, range, what it is for. The reference's table is made of it.

A new option is one entry in OPTIONS, and a field of `shared.definition`: `batch.max-age` is BatchOptions.max_age. Then
`python -m deploy.readme` writes the reference's table anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from submitter.pipeline import kinds
from submitter.pipeline.endpoint import PROVIDERS, TASKS, Task
from submitter.pipeline.kinds import Kind

_ALL = frozenset[Task]().union(*TASKS.values())
_GENERATE: frozenset[Task] = frozenset({"chat", "responses", "messages"})
_CHAT: frozenset[Task] = frozenset({"chat"})
_CLAUDE: frozenset[Task] = frozenset({"messages"})


@dataclass(frozen=True)
class Option:
    """One option."""

    name: str
    kind: Kind
    meaning: str
    """In one line."""
    default: str | None = None
    """As a file would say it; None where there is none."""
    required: bool = False
    tasks: frozenset[Task] = _ALL
    """Where it has a meaning; elsewhere it warns, and is not sent."""
    providers: tuple[str, ...] = PROVIDERS
    in_query: bool = True
    """Whether a query may say it in the model's place: nothing that decides where a key is sent."""
    former: str | None = None
    """Its deprecated name."""


# Names, types and deprecated names: OpenAIOptions of Flink 2.3; ranges: the providers' references.
IDENTITY = (
    Option("provider", kinds.choice(*PROVIDERS), "whose API is spoken", required=True, in_query=False),
    Option(
        "endpoint",
        kinds.text,
        "the task's whole address; else the SDK's variable (`OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL`), else the "
        "provider's own",
        in_query=False,
    ),
    Option("api-key", kinds.text, "`${NAME}`, the variable that holds the key", required=True, in_query=False),
    Option("model", kinds.text, "the provider's name of the model", required=True),
)
PARAMETERS = (
    Option("system-prompt", kinds.free, "what the model is told first", tasks=_GENERATE, former="systemPrompt"),
    Option("temperature", kinds.number(0, 2), "how freely it draws", tasks=_GENERATE),
    Option("top-p", kinds.number(0, 1), "the share of likely tokens it draws from", tasks=_GENERATE, former="topP"),
    Option("max-tokens", kinds.integer(1), "the longest answer, in tokens", tasks=_GENERATE, former="maxTokens"),
    Option("stop", kinds.csv, "texts that end the answer", tasks=frozenset({"chat", "messages"})),
    Option("presence-penalty", kinds.number(-2, 2), "how much a repetition costs", tasks=_CHAT),
    Option("n", kinds.integer(1, 128), "choices, all paid for; the first comes out", tasks=_CHAT),
    Option("seed", kinds.integer(-(2**63), 2**63 - 1), "for answers that repeat, as far as they do", tasks=_CHAT),
    Option("response-format", kinds.choice("text", "json_object"), "of an answer in one STRING", tasks=_CHAT),
    Option("batch.thinking", kinds.thinking, "how it thinks first, or with how many tokens at most", tasks=_CLAUDE),
    Option("batch.effort", kinds.choice("low", "medium", "high", "xhigh", "max"), "its effort", tasks=_CLAUDE),
    Option(
        "batch.prompt-cache",
        kinds.choice("5m", "1h"),
        "how long the provider keeps the system prompt, at prices of its own; an hour suits batches",
        tasks=_CLAUDE,
    ),
    Option(
        "batch.structured-output",
        kinds.choice("schema", "tool", "none"),
        "how columns are asked for; else by a schema, or a tool where a model takes none",
        tasks=_GENERATE,
    ),
    Option("dimension", kinds.integer(1), "the embedding's length", tasks=frozenset({"embeddings"})),
)
"""What becomes a part of each request, under Flink's names."""
BATCH = (
    Option("batch.size", kinds.records, "records in one request; `auto`: as many as fit, at most 50", "1"),
    Option(
        "batch.prompt",
        kinds.text,
        "a Jinja template over the model's INPUT columns, or, where `batch.size` is not 1, over `records`: each has "
        "them and its `index`; else their values",
    ),
    Option(
        "batch.response.format",
        kinds.choice("json", "xml", "delimited", "regex"),
        "how an answer's text is taken apart; else as the OUTPUT columns ask, several records as `json`",
        tasks=_GENERATE,
    ),
    Option(
        "batch.response.path",
        kinds.text,
        "where a record's entry is found: JSONPath (RFC 9535), or XPath; else in `results`, or `//result`",
        tasks=_GENERATE,
    ),
    Option(
        "batch.response.index-field", kinds.text, "what an entry calls its record's index", "index", tasks=_GENERATE
    ),
    Option("batch.response.value-field", kinds.text, "where an entry holds its answer; else itself", tasks=_GENERATE),
    Option(
        "batch.response.delimiter",
        kinds.delimiter,
        "between the fields of a `delimited` line: the index, then the OUTPUT columns",
        "|",
        tasks=_GENERATE,
    ),
    Option(
        "batch.response.pattern",
        kinds.text,
        "of `regex`, as RE2 has it: a named group for the index and for each OUTPUT column",
        tasks=_GENERATE,
    ),
    Option(
        "batch.response.on-error",
        kinds.choice("retry", "split", "individual", "null"),
        "the records of an answer that can't be read: together once more, in halves, one by one at the synchronous "
        "endpoint, or out with NULLs",
        "retry",
        tasks=_GENERATE,
    ),
    Option(
        "batch.response.tokens",
        kinds.integer(1),
        "tokens of one record's part of an answer, as expected; else as the OUTPUT columns suggest",
        tasks=_GENERATE,
    ),
    Option(
        "batch.context-window", kinds.integer(1), "tokens that the model takes, where nobody knows it", tasks=_GENERATE
    ),
    Option(
        "batch.media-columns",
        kinds.names,
        "INPUT columns with images or PDFs: an address in a STRING, or BYTES",
        tasks=_GENERATE | {"moderations"},
    ),
    Option("batch.extra-body", kinds.body, "merged into each request"),
    Option("batch.max-requests", kinds.integer(1), "requests in one batch, below the provider's own limit"),
    Option("batch.max-bytes", kinds.volume, "bytes of one batch, below the provider's own limit"),
    Option("batch.max-age", kinds.period, "how long a file is written before it is sealed", "15 min"),
    Option("batch.request-timeout", kinds.period, "how long a create is waited for", "30 s"),
    Option("batch.max-retries", kinds.integer(0, 20), "how often a failed record is sent again", "3"),
    Option(
        "batch.max-enqueued-tokens",
        kinds.integer(1),
        "prompt tokens that the provider's queue may hold of ours; learned where it is not said",
        providers=("openai",),
    ),
    Option(
        "batch.max-queued-requests",
        kinds.integer(1),
        "requests that the provider's queue may hold of ours; learned where it is not said",
        providers=("anthropic",),
    ),
    Option(
        "batch.on-ambiguous",
        kinds.choice("quarantine", "hold"),
        "a create that did not show through its quarantine: make another, or wait for an operator",
        "quarantine",
    ),
    Option("batch.error-topic", kinds.topic, "where failed records go; else they come out in the sink"),
    Option("batch.mode", kinds.choice("batch", "sync"), "in batches, or record by record at the full price", "batch"),
    Option("batch.deadline", kinds.period, "from the seal: when it nears, what is finished is taken"),
    Option("batch.fallback", kinds.choice("sync"), "the rest at the deadline: record by record, not in another batch"),
    Option("batch.fallback.max-cost", kinds.dollars, "what the fallback of one sealed batch may cost"),
    Option("batch.deduplicate", kinds.boolean, "records of a batch that ask the same are asked and paid once", "false"),
    Option(
        "batch.deduplicate.ttl",
        kinds.period,
        "for so long an answer also holds for later batches that ask the same; needs `batch.deduplicate`",
    ),
    Option("batch.max-cost-per-day", kinds.dollars, "what the model may cost a day (UTC); beyond it batches are held"),
    Option("batch.fallback.max-concurrency", kinds.integer(1, 64), "synchronous calls at once", "16"),
)
_FILES = ("openai",)
PROFILE = (
    Option("batch.profile.max-requests", kinds.integer(1), "the service's own limit of requests in a batch"),
    Option("batch.profile.max-bytes", kinds.volume, "the service's own limit of a batch's bytes"),
    Option(
        "batch.profile.max-inputs",
        kinds.integer(1),
        "the service's own limit of embedding inputs in a batch",
        tasks=frozenset({"embeddings"}),
    ),
    Option("batch.profile.max-image-bytes", kinds.volume, "the service's own limit of an image, as base64"),
    Option("batch.profile.max-request-bytes", kinds.volume, "the service's own limit of a request's media, as base64"),
    Option("batch.profile.creates-per-hour", kinds.integer(1), "batches that the service lets an account create"),
    Option(
        "batch.profile.metadata",
        kinds.boolean,
        "whether the service keeps a batch's metadata; else one is known by its input file",
        "true",
        providers=_FILES,
    ),
    Option(
        "batch.profile.window", kinds.window, "within which a batch is to be done, as asked", "24h", providers=_FILES
    ),
    Option(
        "batch.profile.file-lifetime",
        kinds.lifetime,
        "asked for at an upload; `none` where the service takes none",
        "30 d",
        providers=_FILES,
    ),
    Option("batch.profile.results-lifetime", kinds.period, "how long the service keeps results after a create"),
    Option("batch.profile.price-factor", kinds.number(0, 1), "a batch's share of the synchronous price", "0.5"),
    Option(
        "batch.profile.prices", kinds.text, "whose prices hold, as genai-prices names providers (`azure`, `groq` …)"
    ),
    Option(
        "batch.profile.input-price",
        kinds.price,
        "what prompts cost synchronously, where the published price is not yours; with `batch.profile.output-price`",
    ),
    Option("batch.profile.output-price", kinds.price, "the same of answers"),
)
"""What a compatible service does otherwise than its provider: fields of shared.providers.port.Profile."""
OPTIONS: dict[str, Option] = {option.name: option for option in (*IDENTITY, *PARAMETERS, *BATCH, *PROFILE)}
FORMER = {option.former: option.name for option in OPTIONS.values() if option.former}
MEANINGLESS = {
    "max-context-size": "a record too long for the model comes back as an error of its own",
    "context-overflow-action": "a record too long for the model comes back as an error of its own",
    "error-handling-strategy": "failed requests are sent again in another batch; see 'batch.max-retries'",
    "retry-num": "failed requests are sent again in another batch; see 'batch.max-retries'",
    "retry-fallback-strategy": "a failed record comes out with its cause; see 'batch.error-topic'",
}
"""Flink's options that are taken with a warning, and why they do nothing here."""
RUNTIME = dict.fromkeys(
    ("async", "output-mode", "max-concurrent-operations", "timeout"), "no record waits for an answer in Flink's job"
)
"""MLPredictRuntimeConfigOptions of Flink 2.3, which a query's MAP may have; taken in the same way."""
KNOWN = (*OPTIONS, *MEANINGLESS)


def markdown() -> str:
    """The table for the reference, and what is to be said below it."""
    return "\n".join(
        [
            "| option | type | default | for | meaning |",
            "|---|---|---|---|---|",
            *(f"| {' | '.join(_cells(option))} |" for option in OPTIONS.values()),
            "",
            "¹ The model's alone. Taken with a warning, and without effect: "
            + ", ".join(f"`{name}`" for name in (*MEANINGLESS, *RUNTIME))
            + ".",
        ]
    )


def _cells(option: Option) -> Iterator[str]:
    yield f"`{option.name}`" + ("" if option.in_query else " ¹")
    yield option.kind.type
    yield "required" if option.required else (option.default or "").replace("|", "&#124;")
    yield _applies(option)
    yield option.meaning


def _applies(option: Option) -> str:
    if option.providers == PROVIDERS and option.tasks == _ALL:
        return "all"
    return ", ".join(
        provider if TASKS[provider] <= option.tasks else f"{provider} ({', '.join(sorted(known))})"
        for provider in option.providers
        if (known := TASKS[provider] & option.tasks)
    )
