"""The bench's table: for a terminal, and as the README shows it."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tests.bench.rows import Row

COLUMNS = ("measure", "ours", "held against", "ratio", "target", "met")


def table(rows: Sequence[Row], caption: str) -> Table:
    """For a terminal."""
    made = Table(*COLUMNS, caption=caption, caption_justify="left")
    for row in rows:
        *cells, met = _cells(row)
        made.add_row(*cells, Text(met, style="green" if row.met else "bold red"))
    return made


def markdown(rows: Sequence[Row], caption: str) -> str:
    """For the README."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, rows)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", f"Measured on {caption}."])


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return row.name, row.ours, row.theirs, ratio, row.target, "yes" if row.met else "no"
