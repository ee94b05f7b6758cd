"""The table beside the proposal's figures, as Markdown. Pure."""

from collections.abc import Sequence

from tests.bench.packing.measured import Measured

COLUMNS = ("way", "calls", "wall time", "tokens in", "tokens out", "cost", "share of the cost", "records in error")
PROPOSAL = (
    ("*proposal: one call a record*", "10,000", "2,000 s", "", "", "$20", "100 %", ""),
    ("*proposal: packed*", "500", "150 s", "", "", "$3", "15 %", ""),
)


def markdown(measured: Sequence[Measured], caption: str) -> str:
    """A line for each way, shares of the first one's cost; then what the figures are of."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(_cells(each, measured[0].usd) for each in measured), *PROPOSAL]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", f"{_note(measured)}{caption}"])


def _cells(each: Measured, whole: float) -> tuple[str, ...]:
    return (
        each.name + ("¹" if each.extrapolated_from else ""),
        f"{each.calls:,}",
        f"{each.seconds:,.0f} s",
        f"{each.input_tokens:,}",
        f"{each.output_tokens:,}",
        f"${each.usd:.3f}",
        f"{100 * each.usd / whole:.0f} %",
        f"{each.errors:,}",
    )


def _note(measured: Sequence[Measured]) -> str:
    """What the mark at a way's name stands for; empty when all ways were asked for all records."""
    slices = [each for each in measured if each.extrapolated_from]
    return "".join(
        f"¹ Extrapolated from {each.extrapolated_from:,} records, asked at {each.records / each.asking:,.0f} a second. "
        for each in slices
    )
