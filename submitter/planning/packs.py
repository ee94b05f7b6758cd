"""Rows gathered into requests that hold several records: each waits until its request is full, and is told its fate."""

from collections.abc import Callable
from typing import Any

from shared.keys import custom_id
from shared.render import Row, Unrenderable
from submitter.planning.packer import Packer, Waiting, halves, sifted
from submitter.planning.parts import Parts


class Packs:
    """Fills requests row by row, and hands each to its batch."""

    def __init__(
        self,
        parts: Parts,
        packer: Packer,
        line: Callable[[str, Any], bytes],
        question_of: Callable[[Row], bytes] | None,
    ) -> None:
        """`question_of`: what a row asks, where records that ask the same are asked once."""
        self._parts, self._packer, self._line, self._question_of = parts, packer, line, question_of

    @property
    def lowered(self) -> int:
        """Requests that hold fewer records than the user wants: more would have overflowed."""
        return self._packer.lowered

    def add(self, row: dict[str, object], offset: int) -> None:
        """Let a row wait until its request is full."""
        packer = self._packer
        try:
            size = packer.measure(row)
        except Unrenderable as error:
            self._set_aside(offset, error)
            return
        question = None if self._question_of is None else self._question_of(row)
        if question in self._parts.lately.questions:
            if packer.records:
                packer.waiting.append(Waiting(offset, None, question=question, is_known=True))
                self._ask_when_full()
            else:
                self._parts.answered(offset, question)
            return
        if self._is_echo(offset, row, question):
            return
        while not packer.fits(size):
            self._ask(packer.take())
        packer.add(offset, row, size, question)
        self._ask_when_full()

    def pass_over(self, offset: int) -> None:
        """Keep the place of a row that is another's."""
        if self._packer.pass_over(offset):
            self._ask_when_full()
        else:
            self._parts.current.fates.add("elsewhere")

    def finish(self) -> None:
        """Ask what still waits."""
        while self._packer.waiting:
            self._ask(self._packer.take(is_last=True))

    def _set_aside(self, offset: int, error: Unrenderable) -> None:
        if self._packer.pass_over(offset, error):
            self._ask_when_full()
        else:
            self._parts.reject(offset, error)

    def _ask_when_full(self) -> None:
        if self._packer.is_full:
            self._ask(self._packer.take())

    def _is_echo(self, offset: int, row: dict[str, object], question: bytes | None) -> bool:
        """Whether a row asks what one before it asks, in this batch; then it waits for that one's fate, or has it."""
        packer, part = self._packer, self._parts.current
        leader, known = packer.leader_of(question), part.asker(question)
        if leader is None and known is None:
            return False
        if leader is None and known is not None and not packer.records:
            part.echo(known)
            return True
        if leader is None and known is not None:
            leader = Waiting(offset, None, record=(part.key, known))
        if leader is not None:
            packer.follow(offset, row, question, leader)
        self._ask_when_full()
        return True

    def _ask(self, waiting: list[Waiting]) -> None:
        """Make one request of what waited, or two where it is too large for any batch."""
        parts, part = self._parts, self._parts.current
        prompt = sifted(self._packer.prompts, waiting)
        asked = sum(each.row is not None for each in waiting)
        line = b"" if prompt is None else self._line(custom_id(part.key, part.requests), prompt)
        if parts.is_too_large(len(line), asked):
            self._ask_smaller(waiting, asked, len(line))
            return
        if waiting and parts.is_full(asked, len(line), len(waiting) - asked):
            part = parts.cut(waiting[0].offset)
            line = b"" if prompt is None else self._line(custom_id(part.key, 0), prompt)
        if any(each.follows_another(part.key) for each in waiting):
            # What they follow stands in a batch before: here they are asked themselves.
            self._begin_anew(waiting)
            return
        if prompt is not None:
            part.request(line, asked)
        self._tell(waiting)

    def _ask_smaller(self, waiting: list[Waiting], asked: int, size: int) -> None:
        if asked == 1:
            for each in waiting:
                if each.row is not None:
                    each.row, each.set_aside = None, self._parts.too_large(size)
            self._ask(waiting)
            return
        first, rest = halves(waiting)
        self._ask(first)
        if self._packer.waiting:
            # The first half is gathered once more: what comes after it has to wait behind it.
            self._begin_anew(rest)
        else:
            self._ask(rest)

    def _begin_anew(self, waiting: list[Waiting]) -> None:
        """Gather rows once more, in another batch."""
        for each in waiting:
            row = each.kept if each.row is None else each.row
            if row is not None:
                self.add(dict(row), each.offset)
            elif each.is_known and self._packer.records:
                self._packer.waiting.append(each)
            elif each.is_known:
                self._parts.answered(each.offset, each.question)
            elif each.set_aside is None:
                self.pass_over(each.offset)
            elif not self._packer.pass_over(each.offset, each.set_aside):
                self._parts.reject(each.offset, each.set_aside)

    def _tell(self, waiting: list[Waiting]) -> None:
        """What became of the rows that waited, in their order."""
        part = self._parts.current
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
