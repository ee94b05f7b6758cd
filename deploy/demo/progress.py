"""How far the records have come, as bars; read from the documented table `batches`, as a dashboard would."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

STAGES = {
    "planned": "SUM(CASE WHEN generation = 0 THEN records END)",
    "submitted": "SUM(CASE WHEN generation = 0 AND submitted_at IS NOT NULL THEN records END)",
    "answered": "SUM(CASE WHEN generation = 0 AND ended_at IS NOT NULL THEN records END)",
    "published": "SUM(succeeded + failed)",
}
_QUERY = text(f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in STAGES.items())} FROM batches")


def counts(engine: Engine) -> dict[str, int]:
    """Records by stage; all 0 before the store has its tables."""
    try:
        with engine.connect() as connection:
            row = connection.execute(_QUERY).mappings().one()
    except OperationalError:
        return dict.fromkeys(STAGES, 0)
    return {name: int(row[name] or 0) for name in STAGES}


class Bars:
    """One bar for each stage of the road."""

    def __init__(self, console: Console, engine: Engine, total: int) -> None:
        self._engine, self._total = engine, total
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(48),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def run(self, alive: Callable[[], None], pause: Callable[[], None]) -> None:
        """Draw until every record is published. `alive` raises when a process has died; `pause` waits a moment."""
        with self._progress as progress:
            self._tasks = {name: progress.add_task(name, total=self._total) for name in STAGES}
            while True:
                reached = counts(self._engine)
                for name, count in reached.items():
                    progress.update(self._tasks[name], completed=count)
                if reached["published"] >= self._total:
                    return
                alive()
                pause()
