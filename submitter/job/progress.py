"""What a look at the running job means: how far it is, and whether a bounded one is sealed for good. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from submitter.sql import INTERNAL

_WRITER, _KAFKA = "StreamingFileWriter", "KafkaSource-"


@dataclass(frozen=True)
class Vertex:
    """A part of Flink's job graph."""

    id: str
    name: str
    status: str
    inputs: tuple[str, ...]
    read: int
    """Records that it took in, since the job's last (re)start."""


@dataclass(frozen=True)
class Glimpse:
    """The job at one moment; times in seconds by Flink's clock."""

    state: str
    now: float
    vertices: tuple[Vertex, ...]
    checkpoint: int | None
    """The number of the last complete checkpoint."""
    checkpoint_begun: float | None
    restored: int | None = None
    """The number of the checkpoint or savepoint that the job was last restored from."""

    @property
    def staged(self) -> int:
        """Rows that the staging writers took in."""
        return sum(vertex.read for vertex in self.vertices if _WRITER in vertex.name)

    @property
    def input_over(self) -> bool:
        """Whether everything that isn't kept alive by our own endless sources has finished."""
        theirs = self._theirs()
        return bool(theirs) and all(vertex.status == "FINISHED" for vertex in theirs)

    @property
    def may_hang(self) -> bool:
        """Whether only restored Kafka sources are left, which don't finish by themselves; see source_state."""
        sources = [vertex for vertex in self._theirs() if not vertex.inputs and vertex.status != "FINISHED"]
        is_new = self.restored is not None and self.checkpoint is not None and self.checkpoint > self.restored
        return is_new and bool(sources) and all(_KAFKA in vertex.name for vertex in sources)

    def _theirs(self) -> list[Vertex]:
        own = _downstream(self.vertices)
        return [vertex for vertex in self.vertices if vertex.id not in own]


@dataclass
class Ending:
    """Follows a bounded job to the point at which every row is in a finished file.

    The sources finish; a checkpoint that began after that has driven the rows under way into the writer's files; the
    last of these get their time to be closed; another checkpoint, begun after that, commits them.
    """

    settled_after: float
    """Seconds after its last row by which a file is closed."""
    _over_at: float | None = None
    _written_at: float | None = None
    _asked: bool = False
    _restored: int | None = None

    def see(self, glimpse: Glimpse, *, exhausted: bool = False) -> None:
        """Take note of a look at the job. After a restart the sources run again, and the end is open again.

        `exhausted`: the sources that are left have nothing more to read.
        """
        is_over = (glimpse.input_over or exhausted) and glimpse.state == "RUNNING"
        if not is_over or glimpse.restored != self._restored:
            self._over_at, self._written_at, self._asked, self._restored = None, None, False, glimpse.restored
        if is_over and self._over_at is None:
            self._over_at = glimpse.now
        if self._written_at is None and _is_after(glimpse.checkpoint_begun, self._over_at):
            self._written_at, self._asked = glimpse.now, False

    def should_checkpoint(self, glimpse: Glimpse) -> bool:
        """Whether it is time to ask for the next of the two checkpoints, instead of waiting for it."""
        is_time = self._over_at is not None if self._written_at is None else _is_after(glimpse.now, self._closed_at)
        return is_time and not self._asked and not self.sealed(glimpse)

    def did_checkpoint(self) -> None:
        self._asked = True

    def sealed(self, glimpse: Glimpse) -> bool:
        """Whether every row of the input is in a finished file."""
        return _is_after(glimpse.checkpoint_begun, self._closed_at)

    @property
    def _closed_at(self) -> float | None:
        return None if self._written_at is None else self._written_at + self.settled_after


@dataclass(frozen=True)
class Tally:
    """What the store says of a pipeline."""

    files: int = 0
    """Sealed files."""
    unplanned: int = 0
    submitted: int = 0
    """Batches that the provider has or had."""
    held: int = 0
    open: int = 0
    """Batches that are neither submitted nor held."""
    reasons: tuple[str, ...] = ()
    """Why batches are held."""
    skipped: int = 0
    """Rows that came again in this run, and are not sent, as they are paid for."""

    @property
    def settled(self) -> bool:
        """Whether every sealed file is planned, and each of its batches submitted or durably held."""
        return self.unplanned == 0 and self.open == 0


def line(staged: int, tally: Tally, trouble: str | None = None) -> str:
    """One line for the console."""
    said = f"{staged:,} records staged, {tally.files:,} files sealed, {tally.submitted:,} batches submitted"
    if tally.held:
        why = "; ".join(sorted(set(tally.reasons))[:2])
        said += f", {tally.held:,} held ({why})"
    if tally.open or tally.unplanned:
        said += f", {tally.open + tally.unplanned:,} on their way"
    if tally.skipped:
        said += f", {tally.skipped:,} skipped as paid for"
    return f"{said} - Flink restarts the job: {trouble}" if trouble else said


def _is_after(moment: float | None, other: float | None) -> bool:
    return moment is not None and other is not None and moment > other


def _downstream(vertices: Sequence[Vertex]) -> set[str]:
    """The vertices that our own endless sources feed, and those sources themselves."""
    found = {
        vertex.id
        for vertex in vertices
        if not vertex.inputs and INTERNAL in vertex.name and f"{INTERNAL}topic" not in vertex.name
    }
    while True:
        more = {vertex.id for vertex in vertices if vertex.id not in found and found.intersection(vertex.inputs)}
        if not more:
            return found
        found |= more
