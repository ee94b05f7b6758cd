"""`python -m tests.chaos`: the exhaustive kills, random schedules, or one case; a line for each failure, and a table.

Every slot is a process with a broker and a database of its own; cases go to whichever is free.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.chaos.case import Case, Verdict
from tests.chaos.exhaustive import drawn, pairs, singles
from tests.chaos.report import Report
from tests.chaos.schedule import schedule
from tests.chaos.slots import Slots
from tests.chaos.tally import markdown
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
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that gets a line for each verdict as it comes; what has passed by it is not run again, but counts.",
)
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
    report_file: Path | None,
    as_markdown: bool,
) -> None:
    """Kill everything, everywhere, and ask the provider's own log what came of it."""
    report, console = Report(report_file), Console(stderr=True)
    groups: dict[str, Mapping[str, Case]] = {
        "failpoints": drawn(singles(), sample, seed) if failpoints else {},
        "pairs": drawn(pairs(), sample, seed) if with_pairs else {},
        "schedules": {f"seed={n}": schedule(n) for n in range(seed, seed + schedules)},
        "cases": dict(map(_named, only)),
    }
    left = {
        group: {name: case for name, case in cases.items() if not report.has_passed(group, name)}
        for group, cases in groups.items()
    }
    _run(left, report, console, slots, keep)
    _roads(range(seed, seed + roads), report, console)
    tallies = report.tallies()
    sys.stdout.write(markdown(tallies) if as_markdown else "".join(tally.line() for tally in tallies))
    sys.exit(FAILED if any(tally.failed for tally in tallies) else 0)


def _run(
    groups: Mapping[str, Mapping[str, Case]], report: Report, console: Console, slots: int, keep: Path | None
) -> None:
    count, done = sum(map(len, groups.values())), 0
    with Slots(min(slots, count), keep) as pool, _progress(console) as progress:
        task = progress.add_task("runs", total=count)
        for group, cases in groups.items():
            for name, verdict in pool.run(cases.items()):
                report.add(group, name, verdict)
                progress.advance(task)
                done += 1
                if not verdict.ok:
                    _tell(console, name, verdict)
                if done % _MILESTONE == 0 and not console.is_terminal:
                    console.print(report.tally(group).line(), end="", markup=False, soft_wrap=True, highlight=False)


def _roads(seeds: Iterable[int], report: Report, console: Console) -> None:
    """One whole road after the other: each has a Flink of its own."""
    for seed in seeds:
        name = f"road={seed}"
        if report.has_passed("roads", name):
            continue
        verdict = judged(road_case(seed))
        report.add("roads", name, verdict)
        if not verdict.ok:
            console.print(f"{name}: {_shown(verdict.violations)}  [python -m tests.chaos --roads 1 --seed {seed}]")


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
    return " · ".join(parts).replace("\n", " ")[:4000]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


if __name__ == "__main__":
    main()
