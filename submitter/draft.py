"""One attempt at a file's plan: a single pass over its rows writes the requests and manifests of all its batches."""

from pathlib import Path

from shared.admission import UNCUT, Cut
from shared.causes import Cause
from shared.definition import Definition
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.keys import batch_key, custom_id
from shared.limits import Limits
from shared.manifest import Manifest
from shared.media import content_of
from shared.packed import measure_of, prompts_of
from shared.providers.port import Profile, Requests
from shared.question import digest_of, question_of
from shared.render import Unrenderable
from shared.rows import row_reader
from shared.spool import MANIFEST, REQUESTS, SealedFile, write_atomic
from submitter.lately import NOTHING
from submitter.ledger import Ledger
from submitter.packer import Packer, Room, Waiting, halves, sifted
from submitter.part import MAX_ECHOES, Part


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
        self._definition, self._file, self._folder, self._ledger = definition, file, folder, ledger
        self._prompt = content_of(definition) if room is None else None
        self._packer = None if room is None else Packer(room, prompts_of(definition), measure_of(definition))
        self._question = question_of(definition) if definition.batch.deduplicate else None
        self._read = row_reader(definition)
        self._line = requests.line
        embeddings = definition.model.task == "embeddings"
        self._limits = Limits.of(profile, definition.batch, embeddings=embeddings, cut=cut)
        self._manifests: list[Manifest] = []
        self._part = self._open(0)
        self.lately = NOTHING
        """What was answered lately, and is not asked again."""
        self.rows = self.skipped = 0

    def write(self, sealed: Path) -> list[Manifest]:
        """Write every batch of the file; gives their manifests, in order. Raises SpoolError for a damaged line."""
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
        while self._packer is not None and self._packer.waiting:
            self._ask(self._packer.take())
        self._close(offset)
        return self._manifests

    @property
    def lowered(self) -> int:
        """Requests that hold fewer records than the user wants: more would have overflowed."""
        return self._packer.lowered if self._packer else 0

    def positions(self) -> list[tuple[str, str, int, int, int]]:
        """The runs of positions that these batches pay for."""
        return list(self._ledger.runs()) if self._ledger else []

    def _add(self, row: dict[str, object], offset: int) -> None:
        if self._prompt is None:
            self._gather(row, offset)
            return
        part = self._part
        try:
            prompt = self._prompt(row)
        except Unrenderable as error:
            self._reject(offset, error)
            return
        question = None if self._question is None else digest_of(prompt)
        if question in self.lately.questions:
            self._has_answer(offset, question)
            return
        known = part.asker(question)
        if known is not None:
            part.echo(known)
            return
        line = self._line(custom_id(part.key, part.requests), prompt)
        if self._full(1, len(line)):
            if self._limits.full(0, 0, len(line)):
                self._too_large(offset, len(line))
                return
            part = self._cut(offset)
            line = self._line(custom_id(part.key, 0), prompt)
        part.request(line)
        part.asks(question, part.records - 1)
        part.fates.add("request")

    def _has_answer(self, offset: int, question: bytes | None) -> None:
        if len(self._part.known) >= MAX_ECHOES:
            self._cut(offset)
        if question is not None:
            self._part.answered(question)

    def _full(self, records: int, size: int, rejected: int = 0) -> bool:
        part = self._part
        aside = len(part.rejected) + rejected
        return self._limits.full(part.requests, part.size, size, aside, part.records + records)

    def _reject(self, offset: int, error: Unrenderable) -> None:
        if self._limits.full(0, 0, 0, len(self._part.rejected)):
            self._cut(offset)
        self._part.reject(error.cause, str(error))

    def _elsewhere(self, offset: int) -> None:
        if self._packer is None or not self._packer.pass_over(offset):
            self._part.fates.add("elsewhere")
        else:
            self._ask_when_full(self._packer)

    def _gather(self, row: dict[str, object], offset: int) -> None:
        """Let a row wait until its request is full."""
        packer = self._packer
        if packer is None:
            return
        try:
            size = packer.measure(row)
        except Unrenderable as error:
            if packer.pass_over(offset, error):
                self._ask_when_full(packer)
            else:
                self._reject(offset, error)
            return
        question = None if self._question is None else self._question(row)
        if question in self.lately.questions:
            if packer.records:
                packer.waiting.append(Waiting(offset, None, question=question, is_known=True))
                self._ask_when_full(packer)
            else:
                self._has_answer(offset, question)
            return
        if self._is_echo(packer, offset, row, question):
            return
        while not packer.fits(size):
            self._ask(packer.take())
        packer.add(offset, row, size, question)
        self._ask_when_full(packer)

    def _ask_when_full(self, packer: Packer) -> None:
        if packer.is_full:
            self._ask(packer.take())

    def _is_echo(self, packer: Packer, offset: int, row: dict[str, object], question: bytes | None) -> bool:
        """Whether a row asks what one before it asks, in this batch; then it waits for that one's fate, or has it."""
        leader, known = packer.leader_of(question), self._part.asker(question)
        if leader is None and known is None:
            return False
        if leader is None and known is not None and not packer.records:
            self._part.echo(known)
            return True
        if leader is None and known is not None:
            leader = Waiting(offset, None, record=(self._part.key, known))
        if leader is not None:
            packer.follow(offset, row, question, leader)
        self._ask_when_full(packer)
        return True

    def _ask(self, waiting: list[Waiting]) -> None:
        """Make one request of what waited, or two where it is too large for any batch."""
        prompt = sifted(self._packer.prompts, waiting) if self._packer else None
        asked = sum(each.row is not None for each in waiting)
        line = b"" if prompt is None else self._line(custom_id(self._part.key, self._part.requests), prompt)
        if self._limits.full(0, 0, len(line), records=asked):
            if asked == 1:
                self._set_aside_too_large(waiting, len(line))
                return
            first, rest = halves(waiting)
            self._ask(first)
            if self._packer and self._packer.waiting:
                # The first half is gathered once more: what comes after it has to wait behind it.
                self._begin_anew(rest)
            else:
                self._ask(rest)
            return
        aside = len(waiting) - asked
        if waiting and self._full(asked, len(line), aside):
            self._cut(waiting[0].offset)
            line = b"" if prompt is None else self._line(custom_id(self._part.key, 0), prompt)
        if any(each.follows_another(self._part.key) for each in waiting):
            # What they follow stands in a batch before: here they are asked themselves.
            self._begin_anew(waiting)
            return
        if prompt is not None:
            self._part.request(line, asked)
        self._tell(waiting)

    def _begin_anew(self, waiting: list[Waiting]) -> None:
        """Gather rows once more, in another batch."""
        for each in waiting:
            row = each.kept if each.row is None else each.row
            if row is not None:
                self._gather(dict(row), each.offset)
            elif each.is_known and self._packer is not None and self._packer.records:
                self._packer.waiting.append(each)
            elif each.is_known:
                self._has_answer(each.offset, each.question)
            elif each.set_aside is None:
                self._elsewhere(each.offset)
            elif self._packer is None or not self._packer.pass_over(each.offset, each.set_aside):
                self._reject(each.offset, each.set_aside)

    def _tell(self, waiting: list[Waiting]) -> None:
        """What became of the rows that waited, in their order."""
        part = self._part
        record = part.records - sum(each.row is not None for each in waiting)
        for each in waiting:
            if each.row is not None:
                part.asks(each.question, record)
                each.record, record = (part.key, record), record + 1
                part.fates.add("request")
                continue
            aside = each.set_aside if each.leader is None else each.leader.set_aside
            if each.is_known and each.question is not None:
                part.answered(each.question)
            elif aside is not None:
                part.reject(aside.cause, str(aside))
            elif each.leader is not None and each.leader.record is not None:
                part.echo(each.leader.record[1])
            else:
                part.fates.add("elsewhere")

    def _set_aside_too_large(self, waiting: list[Waiting], size: int) -> None:
        for each in waiting:
            if each.row is not None:
                each.row, each.set_aside = None, Unrenderable(Cause.TOO_LARGE, self._larger(size))
        self._ask(waiting)

    def _larger(self, size: int) -> str:
        return f"its request has {size} bytes, and a batch holds {self._limits.max_bytes}; shorten the record"

    def _too_large(self, offset: int, size: int) -> None:
        self._reject(offset, Unrenderable(Cause.TOO_LARGE, self._larger(size)))

    def _open(self, start: int) -> Part:
        key = self._key(len(self._manifests))
        return Part(self._folder, key, start)

    def _key(self, part: int) -> str:
        file, definition = self._file.address, self._definition
        return batch_key(definition.pipeline, definition.statement, file.partition("/sealed/")[2], part)

    def _cut(self, offset: int) -> Part:
        self._close(offset)
        self._part = self._open(offset)
        return self._part

    def _close(self, end: int) -> None:
        part = self._part
        manifest = part.manifest(self._definition, self._file, end)
        if manifest.records == 0:
            (part.folder / REQUESTS).unlink()
            part.folder.rmdir()
            return
        self.lately.write(part)
        reached(Failpoint.PLAN_REQUESTS)
        write_atomic(part.folder / MANIFEST, manifest.model_dump_json().encode())
        self._manifests.append(manifest)
