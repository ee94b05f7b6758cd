"""A store and a spool of a rehearsal's own, in a folder that goes with it; a sealed file of given rows in it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from shared.clock import system_clock
from shared.definition import BatchOptions, Definition
from shared.spool import SealedFile, Spool
from shared.store import Store


@dataclass(frozen=True)
class Folder:
    """Where a rehearsal keeps what it needs."""

    path: Path
    store: Store
    spool: Spool

    def seal(self, definition: Definition, lines: Iterable[bytes]) -> SealedFile:
        """A finished file of these lines, as Flink would have sealed it for a definition."""
        self.store.lineage.put_definition(definition)
        folder = self.spool.sealed(definition.pipeline, definition.statement, definition.hash)
        name = f"part-{uuid4()}-0-0"
        path = self.spool.files.work(folder) / name
        with path.open("wb") as file:
            file.writelines(lines)
        size = path.stat().st_size
        self.spool.files.keep(folder, [name])
        return SealedFile(f"{folder}/{name}", definition.hash, size, system_clock())


@contextmanager
def rehearsal_folder() -> Iterator[Folder]:
    """A new one."""
    with TemporaryDirectory(prefix="batchline-rehearsal-") as path:
        store = Store.open(f"sqlite:///{path}/state.db")
        try:
            yield Folder(Path(path), store, Spool(f"file://{path}/spool"))
        finally:
            store.close()


def with_options(definition: Definition, **options: object) -> Definition:
    """A definition with other options of batches. The source is left out: a rehearsal's rows have no positions."""
    batch = BatchOptions.model_validate({**definition.batch.model_dump(), **options})
    return definition.model_copy(update={"batch": batch, "source": None})
