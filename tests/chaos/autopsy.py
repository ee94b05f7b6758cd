"""What a run that did not come to its end says of itself: what is open, who holds what, who spoke last."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.world import World

MOST = 8
"""Rows of a kind."""
_QUESTIONS = {
    "open": "SELECT batch_key, mode, state, held_reason, held_until, next_check_at, updated_at, provider_batch_id, "
    "error FROM batches WHERE state NOT IN ('published', 'failed') ORDER BY batch_key",
    "attempts": "SELECT batch_key, attempt, started_at, lookups, clean_since, note FROM attempts WHERE outcome IS NULL",
    "paused": "SELECT account, paused_until, reason, probe FROM accounts WHERE paused",
    "away": "SELECT dependency, holder, away_since, message FROM health",
    "leases": "SELECT name, holder, expires_at FROM leases ORDER BY expires_at DESC",
}
"""By what their rows are called."""


def stuck(world: "World", seconds: float) -> str:
    """Why a run is not quiet, in one line; the files of a run that failed say the rest (`--keep`)."""
    passed = f"{world.patience.elapsed:.0f} s of its own time, {seconds:.0f} s of the machine's"
    planned = sum(file.exists() for file in world.pipeline.files)
    files = f"{world.census.last} of {len(world.pipeline.files)} files, {planned} of them still there"
    parts = (f"{name} {rows}" for name, rows in _answers(world))
    lives = (f"{name} {'lives' if life.is_alive else life.exit_code}" for name, life in world.lives.items())
    return f"{passed}; now {world.now():%H:%M:%S}; {files}; {'; '.join((*parts, *lives, *_last_words(world)))}"


def _answers(world: "World") -> Iterator[tuple[str, list[str]]]:
    for name, question in _QUESTIONS.items():
        rows = world.census.ask(f"{question} LIMIT {MOST}")
        if rows:
            yield name, [" ".join(str(value) for value in row if value is not None) for row in rows]


def _last_words(world: "World") -> Iterator[str]:
    for name in world.lives:
        log = world.folder / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        yield from (f"{name} said: {line[:300]}" for line in lines[-1:])
