"""Gathers rows for one request until it is full: by number, and by what prompt and answer may hold. No I/O."""

from dataclasses import dataclass, field

from shared.packed import Measure, Prompts
from shared.render import Row, Unrenderable

_MOST_WAITING = 5_000
"""Rows that wait for a request to fill; of these some may be set aside, or another batch's."""


@dataclass(frozen=True)
class Room:
    """What one request may hold."""

    records: int
    bytes: int
    """Of its records' text, and of what else each of them takes."""
    wanted: int | None = None
    """Records that the user wants in it; None where as many as fit."""
    each: int = 0
    """What a record takes besides its text, as bytes: its own answer."""


@dataclass
class Waiting:
    """A row that waits with its request."""

    offset: int
    """Of its first byte in the sealed file."""
    row: Row | None
    """None for one that is not asked."""
    set_aside: Unrenderable | None = None
    question: bytes | None = None
    """A digest of what it asks, where records that ask the same are asked once."""
    kept: Row | None = None
    """The row of an echo."""
    leader: "Waiting | None" = None
    """Of an echo: the row before it that asks the same."""
    is_known: bool = False
    """Its question has an answer already."""
    record: tuple[str, int] | None = None
    """Once it is asked: the batch, and its number there."""

    def follows_another(self, batch: str) -> bool:
        """Whether it is an echo of what another batch asks."""
        leader = None if self.leader is None else self.leader.record
        return leader is not None and leader[0] != batch


@dataclass
class Packer:
    """The request that is being filled. What becomes of its rows is not known before it is full."""

    room: Room
    prompts: Prompts
    measure: Measure
    waiting: list[Waiting] = field(default_factory=list)
    records: int = 0
    lowered: int = 0
    """Requests that were closed before they held as many records as the user wants."""
    _bytes: int = 0

    def fits(self, size: int) -> bool:
        """Whether a row whose text has so many bytes goes into this request; the first one always does."""
        if self.records == 0:
            return True
        return not self.is_full and self._bytes + size + self.room.each <= self.room.bytes

    def add(self, offset: int, row: Row, size: int, question: bytes | None = None) -> None:
        self.waiting.append(Waiting(offset, row, question=question))
        self.records += 1
        self._bytes += size + self.room.each

    def pass_over(self, offset: int, error: Unrenderable | None = None) -> bool:
        """Keep the place of a row that is not asked; False when nothing waits, so that it need not either."""
        if self.records:
            self.waiting.append(Waiting(offset, None, error))
        return self.records > 0

    def leader_of(self, question: bytes | None) -> Waiting | None:
        """The row that waits and asks the same."""
        if question is None:
            return None
        same = (each for each in self.waiting if each.question == question and each.leader is None)
        return next(same, None)

    def follow(self, offset: int, row: Row, question: bytes | None, leader: Waiting) -> None:
        """Let an echo wait with its place. It keeps its row: in another batch than its leader it is asked itself."""
        self.waiting.append(Waiting(offset, None, question=question, leader=leader, kept=row))

    @property
    def is_full(self) -> bool:
        return self.records >= self.room.records or len(self.waiting) >= _MOST_WAITING

    def take(self, *, is_last: bool = False) -> list[Waiting]:
        """All that waited; the next request begins. `is_last`: no row comes after it."""
        is_short = self.records < (self.room.wanted or 0) and len(self.waiting) < _MOST_WAITING
        self.lowered += is_short and not is_last
        taken, self.waiting, self.records, self._bytes = self.waiting, [], 0, 0
        return taken


def sifted(prompts: Prompts, waiting: list[Waiting]) -> str | list[str] | None:
    """The prompt of what waited, without the rows that can't be rendered: those are set aside. None when none is left.

    Where each can be rendered by itself and they can't together, nobody knows which is at fault: all are set aside.
    """
    asked = [each for each in waiting if each.row is not None]
    together = _tried(prompts, asked)
    if not isinstance(together, Unrenderable):
        return together
    good = [each for each in asked if not isinstance(_tried(prompts, [each]), Unrenderable)]
    if len(good) == len(asked):
        good = []
    rest = _tried(prompts, good)
    for each in asked:
        if isinstance(rest, Unrenderable) or not any(each is other for other in good):
            alone = _tried(prompts, [each])
            each.row, each.set_aside = None, alone if isinstance(alone, Unrenderable) else together
    return None if isinstance(rest, Unrenderable) else rest


def _tried(prompts: Prompts, asked: list[Waiting]) -> str | list[str] | Unrenderable | None:
    rows = [each.row for each in asked if each.row is not None]
    try:
        return prompts(rows) if rows else None
    except Unrenderable as error:
        return error


def halves(waiting: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """What waited, cut where half of what is asked has gone by."""
    places = [place for place, each in enumerate(waiting) if each.row is not None]
    middle = places[len(places) // 2]
    return waiting[:middle], waiting[middle:]
