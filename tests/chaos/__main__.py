"""`python -m tests.chaos`: the exhaustive kills, random schedules, or one case; a line for each failure, and a table.

Every slot is a process with a broker and a database of its own; cases go to whichever is free.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.chaos.case import Case, Verdict
from tests.chaos.exhaustive import drawn, pairs, singles
from tests.chaos.schedule import schedule
from tests.chaos.slots import Slots
from tests.chaos.tally import Tally, markdown
from tests.chaos.whole_road import judged, road_case

FAILED = 1
_MILESTONE = 50
"""Runs between two lines to a log file, which sees no bar."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--failpoints", is_flag=True, help="Kill at each failpoint, on its first and on a later pass.")
@click.option(
    "--pairs", "with_pairs", is_flag=True, help="Kill at each failpoint, and at each again while it recovers."
)
@click.option("--schedules", default=0, metavar="N", help="So many random schedules.")
@click.option("--seed", default=1, show_default=True, metavar="S", help="The first schedule's seed.")
@click.option("--sample", default=0, metavar="N", help="Only so many of the failpoints and pairs, drawn by the seed.")
@click.option(
    "--only", multiple=True, metavar="CASE", help="One case, by the name that a failure gives: a:1, a,b or seed=7."
)
@click.option("--roads", default=0, metavar="N", help="So many whole roads, with the real commands and Flink.")
@click.option("--slots", default=4, show_default=True, help="Runs at the same time.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for the files of failed runs.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the README's table.")
def main(
    *,
    failpoints: bool,
    with_pairs: bool,
    schedules: int,
    seed: int,
    sample: int,
    only: tuple[str, ...],
    roads: int,
    slots: int,
    keep: Path | None,
    as_markdown: bool,
) -> None:
    """Kill everything, everywhere, and ask the provider's own log what came of it."""
    groups: dict[str, Mapping[str, Case]] = {
        "failpoints": drawn(singles(), sample, seed) if failpoints else {},
        "pairs": drawn(pairs(), sample, seed) if with_pairs else {},
        "schedules": {f"seed={n}": schedule(n) for n in range(seed, seed + schedules)},
        "cases": dict(map(_named, only)),
    }
    console, began = Console(stderr=True), time.monotonic()
    count = sum(map(len, groups.values()))
    tallies = []
    with Slots(min(slots, count), keep) as pool, _progress(console) as progress:
        task = progress.add_task("runs", total=count)
        for group, cases in groups.items():
            tally = Tally(group)
            for name, verdict in pool.run(cases):
                tally.add(verdict)
                progress.advance(task)
                if not verdict.ok:
                    _tell(console, name, verdict)
                if tally.runs % _MILESTONE == 0 and not console.is_terminal:
                    console.print(tally.line(), end="", markup=False, soft_wrap=True, highlight=False)
            tallies.append(tally)
    tallies.append(_roads(range(seed, seed + roads), console))
    if as_markdown:
        sys.stdout.write(markdown(tallies, time.monotonic() - began))
    else:
        for tally in tallies:
            sys.stdout.write(tally.line())
    sys.exit(FAILED if any(tally.failed for tally in tallies) else 0)


def _roads(seeds: Iterable[int], console: Console) -> Tally:
    """One whole road after the other: each has a Flink of its own."""
    tally = Tally("roads")
    for seed in seeds:
        verdict = judged(road_case(seed))
        tally.add(verdict)
        if not verdict.ok:
            console.print(f"road {seed}: {_shown(verdict.violations)}  [python -m tests.chaos --roads 1 --seed {seed}]")
    return tally


def _named(name: str) -> tuple[str, Case]:
    """A case by its name."""
    if name.startswith("seed="):
        return name, schedule(int(name.removeprefix("seed=")))
    known = {**singles(), **pairs()}
    if name not in known:
        raise click.UsageError(f"--only: no case is named {name}; a name is point:1, point:2, point,point or seed=7")
    return name, known[name]


def _tell(console: Console, name: str, verdict: Verdict) -> None:
    """One line for each failing case, with the command that repeats it."""
    said = _shown([*verdict.violations, *verdict.notes])
    console.print(
        f"{name}: {said}  [python -m tests.chaos --only {name}]", markup=False, soft_wrap=True, highlight=False
    )


def _shown(parts: Iterable[str]) -> str:
    return " · ".join(parts).replace("\n", " ")[:1500]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


if __name__ == "__main__":
    main()
