"""The batches of one sealed file, written one after another and cut within the provider's limits; memory stays flat."""

from pathlib import Path

from shared.causes import Cause
from shared.definition import Definition
from shared.failpoints import Failpoint, reached
from shared.keys import batch_key
from shared.limits import Limits
from shared.manifest import Manifest
from shared.render import Unrenderable
from shared.spool import MANIFEST, REQUESTS, SealedFile, write_atomic
from submitter.planning.lately import NOTHING
from submitter.planning.part import MAX_ECHOES, Part


class Parts:
    """Holds the batch that is being written, and the manifests of those before it."""

    def __init__(self, definition: Definition, file: SealedFile, folder: Path, limits: Limits) -> None:
        self._definition, self._file, self._folder, self._limits = definition, file, folder, limits
        self.lately = NOTHING
        """What was answered lately, and is not asked again."""
        self.manifests: list[Manifest] = []
        self.current = self._open(0)

    def is_full(self, records: int, size: int, rejected: int = 0) -> bool:
        """Whether this batch has no room for a request of so many records and bytes, and so many rows beside it."""
        part = self.current
        aside = len(part.rejected) + rejected
        return self._limits.full(part.requests, part.size, size, aside, part.records + records)

    def is_too_large(self, size: int, records: int = 1) -> bool:
        """Whether a request has no room even in a batch of its own."""
        return self._limits.full(0, 0, size, records=records)

    def too_large(self, size: int) -> Unrenderable:
        """What becomes of such a request's record."""
        message = f"its request has {size} bytes, and a batch holds {self._limits.max_bytes}; shorten the record"
        return Unrenderable(Cause.TOO_LARGE, message)

    def cut(self, offset: int) -> Part:
        """Begin the next batch at a row's first byte."""
        self.close(offset)
        self.current = self._open(offset)
        return self.current

    def reject(self, offset: int, error: Unrenderable) -> None:
        """Set a row aside."""
        if self._limits.full(0, 0, 0, len(self.current.rejected)):
            self.cut(offset)
        self.current.reject(error.cause, str(error))

    def answered(self, offset: int, question: bytes | None) -> None:
        """A row whose question has an answer already."""
        if len(self.current.known) >= MAX_ECHOES:
            self.cut(offset)
        if question is not None:
            self.current.answered(question)

    def close(self, end: int) -> None:
        """Finish this batch, which ends before a byte; one without rows leaves nothing behind."""
        part = self.current
        manifest = part.manifest(self._definition, self._file, end)
        if manifest.records == 0:
            (part.folder / REQUESTS).unlink()
            part.folder.rmdir()
            return
        self.lately.write(part)
        reached(Failpoint.PLAN_REQUESTS)
        write_atomic(part.folder / MANIFEST, manifest.model_dump_json().encode())
        self.manifests.append(manifest)

    def _open(self, start: int) -> Part:
        definition, sealed = self._definition, self._file.address.partition("/sealed/")[2]
        key = batch_key(definition.pipeline, definition.statement, sealed, len(self.manifests))
        return Part(self._folder, key, start)
