"""One attempt at a file's plan: a single pass over its rows writes the requests and manifests of all its batches."""

from pathlib import Path

from shared.admission import UNCUT, Cut
from shared.definition import Definition
from shared.errors import SpoolError
from shared.keys import custom_id
from shared.limits import Limits
from shared.manifest import Manifest
from shared.media import content_of
from shared.packed import measure_of, prompts_of
from shared.providers.port import Profile, Requests
from shared.question import digest_of, question_of
from shared.render import Unrenderable
from shared.rows import row_reader
from shared.spool import SealedFile
from submitter.planning.lately import Lately
from submitter.planning.ledger import Ledger
from submitter.planning.packer import Packer, Room
from submitter.planning.packs import Packs
from submitter.planning.parts import Parts


class Draft:
    """Turns one sealed file into batches within the provider's limits, below an attempt's folder. Memory stays flat."""

    def __init__(
        self,
        definition: Definition,
        requests: Requests,
        profile: Profile,
        file: SealedFile,
        folder: Path,
        ledger: Ledger | None,
        cut: Cut = UNCUT,
        room: Room | None = None,
    ) -> None:
        """`room`: what one request may hold, where it holds several records."""
        self._file, self._ledger, self._read = file, ledger, row_reader(definition)
        embeddings = definition.model.task == "embeddings"
        limits = Limits.of(profile, definition.batch, embeddings=embeddings, cut=cut)
        self._parts, self._line = Parts(definition, file, folder, limits), requests.line
        self._prompt = content_of(definition) if room is None else None
        self._packs: Packs | None = None
        self._deduplicates = definition.batch.deduplicate
        if room is not None:
            question = question_of(definition) if self._deduplicates else None
            packer = Packer(room, prompts_of(definition), measure_of(definition))
            self._packs = Packs(self._parts, packer, self._line, question)
        self.rows = self.skipped = 0

    @property
    def lately(self) -> Lately:
        """What was answered lately, and is not asked again."""
        return self._parts.lately

    @lately.setter
    def lately(self, known: Lately) -> None:
        self._parts.lately = known

    def write(self, sealed: Path) -> list[Manifest]:
        """Write every batch of the file; gives their manifests, in order. Raises SpoolError for a damaged file."""
        offset = 0
        with sealed.open("rb") as lines:
            for line in lines:
                try:
                    record = self._read(line)
                    row, position = record["row"], record.get("position")
                    new = self._ledger is None or self._ledger.take(position)
                except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                    raise SpoolError(f"{self._file.address}, byte {offset}: not a sealed row ({error})") from error
                self.rows += 1
                if new:
                    self._add(row, offset)
                else:
                    self.skipped += 1
                    self._elsewhere(offset)
                offset += len(line)
        if offset != self._file.size:
            # What a plan leaves out is never sent.
            raise SpoolError(f"{self._file.address} has {self._file.size:,} bytes, of which {offset:,} could be read")
        if self._packs is not None:
            self._packs.finish()
        self._parts.close(offset)
        return self._parts.manifests

    @property
    def lowered(self) -> int:
        """Requests that hold fewer records than the user wants: more would have overflowed."""
        return self._packs.lowered if self._packs else 0

    def positions(self) -> list[tuple[str, str, int, int, int]]:
        """The runs of positions that these batches pay for."""
        return list(self._ledger.runs()) if self._ledger else []

    def _elsewhere(self, offset: int) -> None:
        if self._packs is None:
            self._parts.current.fates.add("elsewhere")
        else:
            self._packs.pass_over(offset)

    def _add(self, row: dict[str, object], offset: int) -> None:
        if self._prompt is None:
            if self._packs is not None:
                self._packs.add(row, offset)
            return
        parts, part = self._parts, self._parts.current
        try:
            prompt = self._prompt(row)
        except Unrenderable as error:
            parts.reject(offset, error)
            return
        question = digest_of(prompt) if self._deduplicates else None
        if question in parts.lately.questions:
            parts.answered(offset, question)
            return
        known = part.asker(question)
        if known is not None:
            part.echo(known)
            return
        line = self._line(custom_id(part.key, part.requests), prompt)
        if parts.is_full(1, len(line)):
            if parts.is_too_large(len(line)):
                parts.reject(offset, parts.too_large(len(line)))
                return
            part = parts.cut(offset)
            line = self._line(custom_id(part.key, 0), prompt)
        part.request(line)
        part.asks(question, part.records - 1)
        part.fates.add("request")
