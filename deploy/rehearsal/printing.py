"""What the commands print of a trial and of an estimate: for people as text, for scripts as JSON."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from deploy.rehearsal.quote import Quote
from deploy.rehearsal.trial import Tried
from shared.messages import Header

SCHEMA_VERSION = 1
_LONGEST = 2_000


def printable(text: str) -> str:
    """A text with every character that a terminal would act on shown as its escape."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def dollars(usd: float | None) -> str:
    """Money, short."""
    return (
        "no known price"
        if usd is None
        else f"${usd:,.6f}"
        if usd < 0.01
        else f"${usd:,.4f}"
        if usd < 1
        else f"${usd:,.2f}"
    )


def tried_text(tried: Tried, *, with_requests: bool = True) -> Iterator[str]:
    """A trial, for people."""
    yield f"{tried.statement}: {tried.records:,} records in {len(tried.requests):,} requests"
    if with_requests:
        for number, request in enumerate(tried.requests):
            yield f"  request {number}  {_cut(request.decode())}"
    told: set[str | None] = set()
    for number, message in enumerate(tried.messages):
        yield f"  row {number}      {_cut(orjson.dumps(message.row).decode())}"
        yield f"    topic {message.topic}, key {_shown(message.key)}, value {_shown(message.value)}"
        if message.error is not None:
            yield f"    failed: {_cut(message.error)}"
        elif not message.answered:
            yield "    failed: its cause stands in the value"
        answering = message.headers.get(Header.REQUEST)
        if message.said is not None and answering not in told:
            # Once for all the records that it answers.
            told.add(answering)
            yield f"    the model said: {_cut(message.said)}"
    failed = f", {tried.failed:,} of {len(tried.messages):,} records failed" if tried.failed else ""
    tokens = f"{tried.input_tokens:,} and {tried.output_tokens:,} tokens"
    yield f"  {tokens}: {dollars(tried.sync_usd)} synchronously, {dollars(tried.batch_usd)} in batches{failed}"


def tried_json(tried: Tried) -> dict[str, Any]:
    """A trial, for scripts."""
    return {
        "statement": tried.statement,
        "records": tried.records,
        "failed": tried.failed,
        "requests": [orjson.loads(request) for request in tried.requests],
        "messages": [
            {
                "answered": message.answered,
                "topic": message.topic,
                "key": _text(message.key),
                "value": _text(message.value),
                "headers": message.headers,
                "row": message.row,
                "error": message.error,
                "said": message.said,
            }
            for message in tried.messages
        ],
        "input_tokens": tried.input_tokens,
        "output_tokens": tried.output_tokens,
        "sync_usd": tried.sync_usd,
        "batch_usd": tried.batch_usd,
        "seconds": round(tried.seconds, 3),
    }


def quote_text(quotes: Sequence[Quote], console: Console) -> None:
    """Print estimates, for people."""
    for quote in quotes:
        whose = f"{quote.statement} ({quote.model})"
        told = f"{quote.records:,} records, by a sample of {quote.sampled:,}"
        if quote.is_guess:
            told = f"the {quote.sampled:,} records of the sample: how many there are, nobody knows (--records says it)"
        refused = f"; {quote.refused:,} of the sample have no prompt, or are too large" if quote.refused else ""
        table = Table(title=printable(f"{whose}: {told}{refused}"), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("road")
        for name in ("requests", "input tokens", "output tokens", "batches", "cost", "time"):
            table.add_column(name, justify="right", no_wrap=True)
        for road in quote.roads:
            batches = "" if road.batches is None else f"{road.batches:,}"
            counts = (f"{count:,}" for count in (road.requests, road.input_tokens, road.output_tokens))
            limit = "≤ " if road.batches is not None else "~ "
            table.add_row(road.road, *counts, batches, dollars(road.cost_usd), limit + _lasting(road.seconds))
        console.print(table)
        if quote.without_packed is not None:
            console.print(printable(f"  no packed roads: {quote.without_packed}"), markup=False, highlight=False)


def _lasting(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _shown(data: bytes | None) -> str:
    return "none" if data is None else _cut(data.decode(errors="backslashreplace"))


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _cut(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " …"
