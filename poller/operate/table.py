"""The status for people: tables by pipeline and state, what is held first, and what needs attention."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from poller.operate.status import Report
from shared.lifecycle import State
from shared.terminal import printable

MOST_ROWS = 40
WIDTH = 140
PROSE = ("why", "batches")
ODD = {
    "forgiven_answers": "forgiven answers",
    "unreadable_answers": "unreadable answers",
    "duplicate_entries": "entries twice",
    "unknown_entries": "unknown entries",
    "duplicate_lines": "lines twice",
    "unknown_lines": "unknown lines",
    "malformed_lines": "malformed lines",
    "unknown_calls": "unknown calls",
}
"""The counts of a pipeline that are zero as a rule → their headings."""


def draw(report: Report, console: Console) -> None:
    """Print the status; the columns need a console of WIDTH."""
    console.print(Group(*_parts(report)))


def _parts(report: Report) -> Iterable[RenderableType]:
    yield _headline(report)
    if report.accounts:
        yield _accounts(report)
    if report.budgets:
        yield _budgets(report)
    if report.attention:
        yield _attention(report)
    if report.pipelines:
        yield _pipelines(report)
    if any(row[name] for row in report.pipelines for name in ODD):
        yield _oddities(report)
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
    missing = printable(f"; away: {', '.join(away)}") if away else ""
    count = len(report.attention)
    return Text(f"needs attention at {at}: {count} alarm{'s' if count > 1 else ''}{missing}", style="bold red")


def _budgets(report: Report) -> Table:
    columns = ("a day", "spent", "reserved", "batches held", "records held")
    table = make_table("Budgets", "pipeline", "model", "day (UTC)", *columns, right=columns)
    for each in report.budgets:
        money = (_money(usd) for usd in (each.limit_usd, each.spent_usd, each.reserved_usd))
        counts = f"{each.held_batches:,}", f"{each.held_records:,}"
        style = "red" if each.held_batches else ""
        add_row(table, each.pipeline, each.model or "all", each.day, *money, *counts, style=style)
    return table


def _accounts(report: Report) -> Table:
    columns = ("batches held", "records held")
    table = make_table("Paused accounts", "account", "next try", *columns, "asks", "why", right=columns)
    for account in report.accounts:
        counts = f"{account.held_batches:,}", f"{account.held_records:,}"
        add_row(
            table, account.account, moment(account.until), *counts, account.asking or "", account.reason, style="red"
        )
    return table


def _attention(report: Report) -> Table:
    table = make_table("Attention", "what", "which", "since", "why")
    for alarm in report.attention[:MOST_ROWS]:
        add_row(table, alarm.kind, alarm.subject, moment(alarm.since), alarm.message)
    say_rest(table, len(report.attention))
    return table


def _pipelines(report: Report) -> Table:
    columns = ("records", "out", "failed", "in flight", "skipped", "deduped", "oldest", "cost", "sync cost", "saved")
    table = make_table("Pipelines", "pipeline", *columns, "batches", right=columns)
    for row in report.pipelines:
        add_row(
            table,
            row["pipeline"],
            f"{row['records']:,}",
            f"{row['succeeded'] + row['failed']:,}",
            f"{row['failed']:,}",
            f"{row['in_flight']:,}",
            f"{row['skipped_as_paid']:,}",
            f"{row['deduplicated']:,}",
            _age(row["oldest_waiting_seconds"]),
            _money(row["cost_usd"]),
            _money(row["sync_cost_usd"]),
            _money(row["saved_usd"]),
            _states(row),
        )
    return table


def _oddities(report: Report) -> Table:
    """What was odd about results so far: rows and columns only where there is something."""
    rows = [row for row in report.pipelines if any(row[name] for name in ODD)]
    names = [name for name in ODD if any(row[name] for row in rows)]
    headings = [ODD[name] for name in names]
    table = make_table("Odd results", "pipeline", *headings, right=headings)
    for row in rows:
        add_row(table, row["pipeline"], *(f"{row[name]:,}" if row[name] else "" for name in names))
    return table


def _duplicates(report: Report) -> Table:
    columns = ("input tokens", "output tokens", "cost")
    table = make_table(
        "Duplicates at the provider", "batch", "second", "found", "cancelled", "end", *columns, right=columns
    )
    for row in report.duplicates[:MOST_ROWS]:
        add_row(
            table,
            row["batch_key"],
            row["provider_batch_id"],
            moment(row["found_at"]),
            moment(row["cancelled_at"]),
            moment(row["settled_at"]),
            f"{row['input_tokens']:,}",
            f"{row['output_tokens']:,}",
            ("at most " if row["is_estimate"] else "") + _money(row["cost_usd"]),
        )
    say_rest(table, len(report.duplicates))
    return table


def _batches(report: Report) -> Table:
    columns = ("requests", "waiting", "cost")
    table = make_table(
        "Unfinished batches", "batch", "pipeline", "state", *columns, "next", "expires", "why", right=columns
    )
    for row in report.batches[:MOST_ROWS]:
        is_held = row["state"] == State.HELD
        add_row(
            table,
            row["batch_key"],
            f"{row['pipeline']}/{row['statement']}",
            str(row["state"]),
            f"{row['requests']:,}",
            _age(row["waiting_seconds"]),
            _money(row["cost_usd"]) or _estimate(row["estimated_cost_usd"]),
            moment(row["held_until"] if is_held else row["next_check_at"]),
            moment(row["expires_at"]),
            (row["held_reason"] if is_held else row["error"]) or "",
            style="yellow" if is_held else "",
        )
    say_rest(table, len(report.batches) + report.batches_left_off)
    return table


def make_table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table of the status; `right` are the columns of numbers."""
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


def add_row(table: Table, *cells: str, style: str = "") -> None:
    """Add texts from elsewhere: none of it is markup, and nothing in it speaks to the terminal."""
    table.add_row(*(Text(printable(cell)) for cell in cells), style=style)


def say_rest(table: Table, total: int, where: str = "poller status --json") -> None:
    """Say of a table that it is cut, and where the rest is told."""
    if total > MOST_ROWS:
        table.caption = f"and {total - MOST_ROWS:,} more: {where}"


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


def moment(at: datetime | None) -> str:
    """A time in UTC, short; "" for none."""
    return f"{at:%m-%d %H:%M:%S}" if at else ""


def _money(dollars: float | None) -> str:
    return "" if dollars is None else f"${dollars:,.4f}" if dollars < 1 else f"${dollars:,.2f}"


def _estimate(dollars: float | None) -> str:
    return "" if dollars is None else f"~{_money(dollars)}"
