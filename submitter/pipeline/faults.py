"""What is wrong with a file: each fault with its place and its remedy, all of them collected before anything starts."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from shared.errors import BatchlineError, KafkaUnavailable, SpoolAway, StoreUnavailable

_TYPES = {"VARCHAR(2147483647)": "STRING", "VARBINARY(2147483647)": "BYTES"}
"""Flink's own words for types, and those in which they are written."""
_REACH = "see that it runs and can be reached from here, or correct its address"


@dataclass(frozen=True)
class Place:
    """Where in the file something stands; each part only where it is known."""

    line: int | None = None
    statement: str | None = None
    """The name of the statement, table, model or setting."""
    option: str | None = None

    def at(self, option: str, line: int | None = None) -> "Place":
        """The same statement's option."""
        return replace(self, option=option, line=line or self.line)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, or (as a warning) that is not as it looks."""

    message: str
    """What is wrong, and what to do."""
    place: Place = field(default_factory=Place)
    away: bool = False
    """Whether a broker or the store did not answer: waiting may help, editing does not."""

    def text(self, file: str) -> str:
        """`file:line: statement: option 'x': message`."""
        place = self.place
        where = file if place.line is None else f"{file}:{place.line}"
        parts = [where, *([place.statement] if place.statement else [])]
        return ": ".join([*parts, *([f"option '{place.option}'"] if place.option else []), self.message])


class PipelineError(BatchlineError):
    """A file can't be run; the message has a line for each fault."""

    def __init__(self, file: str, faults: Iterable[Fault]) -> None:
        self.file, self.faults = file, tuple(faults)
        self.away = bool(self.faults) and all(fault.away for fault in self.faults)
        """Whether nothing is wrong with the file itself."""
        super().__init__("\n".join(fault.text(file) for fault in self.faults))


class Faults:
    """Collects faults and warnings, each once; known secrets in a message are replaced by their references."""

    def __init__(self) -> None:
        self.errors: list[Fault] = []
        self.warnings: list[Fault] = []
        self._secrets: dict[str, str] = {}
        self.found = 0
        """How often something was found wrong, a fault that was told before too."""

    def hide(self, value: str, reference: str) -> None:
        """Show `reference` where a message would show `value`."""
        if len(value) >= 4:
            self._secrets[value] = reference

    def add(self, message: str, place: Place | None = None, *, away: bool = False) -> None:
        self.found += 1
        self._put(self.errors, message, place, away=away)

    def caught(self, error: BatchlineError, place: Place | None = None) -> None:
        """Add what a library of ours says."""
        away = isinstance(error, (KafkaUnavailable, SpoolAway, StoreUnavailable))
        self.add(f"{error}; {_REACH}" if away else str(error), place, away=away)

    def warn(self, message: str, place: Place | None = None) -> None:
        self._put(self.warnings, message, place)

    def _put(self, to: list[Fault], message: str, place: Place | None, *, away: bool = False) -> None:
        for logical, written in _TYPES.items():
            message = message.replace(logical, written)
        for value in sorted(self._secrets, key=len, reverse=True):
            message = message.replace(value, self._secrets[value])
        fault = Fault(message, place or Place(), away)
        if fault not in to:
            to.append(fault)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known name is near."""
    names = {each.casefold(): each for each in known}
    found = get_close_matches(name.casefold(), names, n=1, cutoff=0.6)
    return f"; did you mean '{names[found[0]]}'?" if found else ""
