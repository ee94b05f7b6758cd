"""A step of a schedule: what goes wrong, when, with which options. Pure data, replayable from its repr."""

from dataclasses import dataclass
from typing import Any

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Step:
    """One thing that happens `at` seconds after the lives were started."""

    at: float
    do: str
    """A name in tests.chaos.faults.ACTIONS."""
    options: Options = ()

    def given(self) -> dict[str, Any]:
        """The options by name."""
        return dict(self.options)


@dataclass(frozen=True)
class Excuse:
    """What a schedule may cause: at most so many records that come out failed with a cause."""

    cause: str
    """A word of shared.causes."""
    at_most: int
    containing: str | None = None
    """Only records whose text contains this."""


def step(at: float, do: str, /, **options: Any) -> Step:
    return Step(round(at, 3), do, tuple(options.items()))
