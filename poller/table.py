"""The status for people: tables by pipeline and state, what is held first, and what needs attention."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from poller.status import Report
from shared.lifecycle import State

_MOST_ROWS = 40
WIDTH = 140
PROSE = ("why", "batches")


def draw(report: Report, console: Console) -> None:
    """Print the status; the columns need a console of WIDTH."""
    console.print(Group(*_parts(report)))


def _parts(report: Report) -> Iterable[RenderableType]:
    yield _headline(report)
    if report.accounts:
        yield _accounts(report)
    if report.attention:
        yield _attention(report)
    if report.pipelines:
        yield _pipelines(report)
    if report.duplicates:
        yield _duplicates(report)
    if report.batches:
        yield _batches(report)
    if not report.pipelines:
        yield Text("No batches yet: start a pipeline with `submitter run FILE.sql`.")


def _headline(report: Report) -> Text:
    at = f"{report.at:%Y-%m-%d %H:%M:%S} UTC"
    if report.healthy:
        return Text(f"healthy at {at}; every dependency answers", style="green")
    away = sorted({word.dependency for word in report.dependencies})
    missing = f"; away: {', '.join(away)}" if away else ""
    count = len(report.attention)
    return Text(f"needs attention at {at}: {count} alarm{'s' if count > 1 else ''}{missing}", style="bold red")


def _accounts(report: Report) -> Table:
    columns = ("batches held", "records held")
    table = _table("Paused accounts", "account", "next try", *columns, "asks", "why", right=columns)
    for account in report.accounts:
        counts = f"{account.held_batches:,}", f"{account.held_records:,}"
        _row(table, account.account, _moment(account.until), *counts, account.asking or "", account.reason, style="red")
    return table


def _attention(report: Report) -> Table:
    table = _table("Attention", "what", "which", "since", "why")
    for alarm in report.attention[:_MOST_ROWS]:
        _row(table, alarm.kind, alarm.subject, _moment(alarm.since), alarm.message)
    _say_rest(table, len(report.attention))
    return table


def _pipelines(report: Report) -> Table:
    columns = ("records", "out", "failed", "in flight", "skipped", "oldest", "cost", "sync cost", "saved")
    table = _table("Pipelines", "pipeline", *columns, "batches", right=columns)
    for row in report.pipelines:
        _row(
            table,
            row["pipeline"],
            f"{row['records']:,}",
            f"{row['succeeded'] + row['failed']:,}",
            f"{row['failed']:,}",
            f"{row['in_flight']:,}",
            f"{row['skipped_as_paid']:,}",
            _age(row["oldest_waiting_seconds"]),
            _money(row["cost_usd"]),
            _money(row["sync_cost_usd"]),
            _money(row["saved_usd"]),
            _states(row),
        )
    return table


def _duplicates(report: Report) -> Table:
    columns = ("input tokens", "output tokens", "cost")
    table = _table(
        "Duplicates at the provider", "batch", "second", "found", "cancelled", "end", *columns, right=columns
    )
    for row in report.duplicates[:_MOST_ROWS]:
        _row(
            table,
            row["batch_key"],
            row["provider_batch_id"],
            _moment(row["found_at"]),
            _moment(row["cancelled_at"]),
            _moment(row["settled_at"]),
            f"{row['input_tokens']:,}",
            f"{row['output_tokens']:,}",
            ("at most " if row["is_estimate"] else "") + _money(row["cost_usd"]),
        )
    _say_rest(table, len(report.duplicates))
    return table


def _batches(report: Report) -> Table:
    columns = ("requests", "waiting", "cost")
    table = _table(
        "Unfinished batches", "batch", "pipeline", "state", *columns, "next", "expires", "why", right=columns
    )
    for row in report.batches[:_MOST_ROWS]:
        is_held = row["state"] == State.HELD
        _row(
            table,
            row["batch_key"],
            f"{row['pipeline']}/{row['statement']}",
            str(row["state"]),
            f"{row['requests']:,}",
            _age(row["waiting_seconds"]),
            _money(row["cost_usd"]) or _estimate(row["estimated_cost_usd"]),
            _moment(row["held_until"] if is_held else row["next_check_at"]),
            _moment(row["expires_at"]),
            (row["held_reason"] if is_held else row["error"]) or "",
            style="yellow" if is_held else "",
        )
    _say_rest(table, len(report.batches) + report.batches_left_off)
    return table


def _table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    for column in columns:
        # A number or a name that is broken in two can't be read; prose can.
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column not in PROSE,
            min_width=20 if column in PROSE else None,
        )
    return table


def _row(table: Table, *cells: str, style: str = "") -> None:
    table.add_row(*(escape(cell) for cell in cells), style=style)


def _say_rest(table: Table, total: int) -> None:
    if total > _MOST_ROWS:
        table.caption = f"and {total - _MOST_ROWS:,} more: poller status --json"


def _states(row: dict[str, Any]) -> str:
    """The pipeline's batches by state, in the order of a batch's life."""
    counts = ((state, row[f"batches_{state}"]) for state in State)
    return ", ".join(f"{count:,} {state}" for state, count in counts if count) or "none"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = timedelta(seconds=max(int(seconds), 0))
    hours, minutes = whole.seconds // 3600, whole.seconds // 60 % 60
    if whole.days:
        return f"{whole.days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{whole.seconds} s"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%m-%d %H:%M:%S}" if moment else ""


def _money(dollars: float | None) -> str:
    return "" if dollars is None else f"${dollars:,.4f}" if dollars < 1 else f"${dollars:,.2f}"


def _estimate(dollars: float | None) -> str:
    return "" if dollars is None else f"~{_money(dollars)}"
