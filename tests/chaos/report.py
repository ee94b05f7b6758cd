"""A campaign's report: a JSON line for each verdict as it comes, so that one that was broken off goes on.

What stands there as passed is not run again; what failed is, and its newest line counts.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson

from tests.chaos.case import Verdict
from tests.chaos.tally import Line, Tally


class Report:
    """The newest line of each run."""

    def __init__(self, path: Path | None = None) -> None:
        """Without a file, what is added is known to this process alone."""
        self._path = path
        self._lines: dict[tuple[str, str], Line] = {}
        for line in _read(path) if path is not None and path.exists() else ():
            self._lines[line.group, line.name] = line

    def has_passed(self, group: str, name: str) -> bool:
        line = self._lines.get((group, name))
        return line is not None and line.ok

    def add(self, group: str, name: str, verdict: Verdict) -> None:
        """Take a verdict in, and write it down."""
        before = self._lines.get((group, name))
        line = self._lines[group, name] = Line.of(group, name, verdict, tries=before.tries + 1 if before else 1)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")

    def tally(self, group: str) -> Tally:
        """What a group's runs came to so far."""
        tally = Tally(group)
        for line in self._lines.values():
            if line.group == group:
                tally.add(line)
        return tally

    def tallies(self) -> list[Tally]:
        """Of each group that has runs."""
        return [self.tally(group) for group in dict.fromkeys(group for group, _ in self._lines)]


def _read(path: Path) -> Iterator[Line]:
    text = path.read_bytes()
    if text and not text.endswith(b"\n"):
        # Whoever wrote it was killed in mid-word: its line is of no use, and the next is to begin at a line's start.
        with path.open("ab") as file:
            file.write(b"\n")
    for line in text.splitlines():
        with suppress(orjson.JSONDecodeError):
            yield Line(**orjson.loads(line))
