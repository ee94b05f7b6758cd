"""The diagnosis for people, in one screen: what is away, what is stuck, what is left over, what is worth knowing."""

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from poller.operate.diagnosis import NOTES, Diagnosis, Finding
from poller.operate.table import MOST_ROWS, add_row, make_table, moment, say_rest
from shared.terminal import printable


def draw_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print it."""
    console.print(Group(*_parts(diagnosis)))


def _parts(diagnosis: Diagnosis) -> Iterable[RenderableType]:
    open_ = [finding for finding in diagnosis.findings if finding.is_open]
    yield _headline(diagnosis, open_)
    if diagnosis.away:
        shown = make_table("Away", "what", "why")
        for absence in diagnosis.away:
            add_row(shown, absence.dependency, absence.message, style="red")
        yield shown
    if open_:
        yield _findings("Findings", open_, "with --fix", lambda finding: finding.fix or "")
    mended = [finding for finding in diagnosis.findings if finding.fixed is not None]
    if mended:
        yield _findings("Mended", mended, "done", lambda finding: finding.fixed or "")
    notes = [finding for finding in diagnosis.findings if finding.kind in NOTES and finding.fixed is None]
    if notes:
        yield _findings("Worth knowing", notes, "", lambda _: "")


def _headline(diagnosis: Diagnosis, open_: Sequence[Finding]) -> Text:
    at = f"{diagnosis.at:%Y-%m-%d %H:%M:%S} UTC"
    if diagnosis.healthy:
        return Text(f"healthy at {at}; everything answers", style="green")
    away = f"; away: {', '.join(absence.dependency for absence in diagnosis.away)}" if diagnosis.away else ""
    count = len(open_)
    return Text(printable(f"{count} finding{'' if count == 1 else 's'} at {at}{away}"), style="bold red")


def _findings(title: str, findings: Sequence[Finding], last: str, cell: Callable[[Finding], str]) -> Table:
    shown = make_table(title, "what", "which", "since", "why", last)
    for finding in findings[:MOST_ROWS]:
        add_row(shown, finding.kind, finding.subject, moment(finding.since), finding.message, cell(finding))
    say_rest(shown, len(findings), "poller doctor --json")
    return shown
