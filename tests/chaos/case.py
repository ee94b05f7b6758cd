"""What defines a run, and what came of it: pure data, replayable from its repr."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tests.chaos.steps import Excuse, Step

ProviderName = Literal["openai", "anthropic"]
StoreKind = Literal["sqlite", "postgresql"]


@dataclass(frozen=True)
class Kill:
    """SIGKILL at the `nth` pass of a failpoint, counted from the moment at which the kill before it struck."""

    failpoint: str
    nth: int = 1


@dataclass(frozen=True)
class Rule:
    """A fault of the provider that is in force from the start: a name of its vocabulary, and that fault's options."""

    fault: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Case:
    """One run. Records are spread evenly over the files; each kill that has not struck by then brings another wave."""

    provider: ProviderName = "openai"
    store: StoreKind = "sqlite"
    records: int = 6
    files: int = 1
    seed: int = 0
    kills: tuple[Kill, ...] = ()
    steps: tuple[Step, ...] = ()
    weakness: str | None = None
    """The name of a negative control."""
    rules: tuple[Rule, ...] = ()
    """Set anew for each wave of files."""
    options: tuple[tuple[str, Any], ...] = ()
    """Options of its batches, by the names of BatchOptions."""
    empty: int = 0
    """Records without a text beside the others of each wave, in a file of their own: they come out failed."""
    strangers: int = 0
    """Batches of somebody else's with so many requests that the account has from the start of each wave."""
    retention: float = 3600.0
    """Seconds; 0 lets the janitor delete at once, and the run waits for it."""
    limit: float | None = None
    """What a day may cost, in US dollars; None: no limit."""
    operator: bool = False
    """Whether a person decides on held batches: what is throttled is given up, what waits for a word is sent again."""
    is_hidden: bool = False
    """Whether creates are hidden beyond the quarantine: the stated residual, where a second one is only detected."""
    forgets: bool = False
    """Whether the run goes on until its progress markers are tombstoned, a month later."""
    forgetful: bool = False
    """Whether the store of before each wave is put back when the wave is out: SQLite's."""
    excuses: tuple[Excuse, ...] = ()
    """The failed records that its faults allow."""


@dataclass(frozen=True)
class Verdict:
    """What the oracle found. `violations` is empty when all was well."""

    case: Case
    violations: tuple[str, ...] = ()
    records: int = 0
    kills: int = 0
    """Processes that died: by failpoint, or by a step."""
    struck: tuple[Kill, ...] = ()
    """The kills of the case that really struck."""
    lost: int = 0
    paid_twice: int = 0
    published_twice: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.violations
