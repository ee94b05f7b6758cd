"""Answers that are kept for a stated time: what was asked lately is not asked, and paid for, again."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from shared.failpoints import Failpoint, reached
from shared.store.database import Database, insert_absent
from shared.store.tables import answers

MOST = 100_000
"""Of the questions of one definition that a planner knows, the newest: more would cost it too much memory."""
_AT_ONCE = 500
_SPARE = timedelta(hours=1)
"""An answer outlives its time by so much: a plan that counts on it has time to write it down."""


class Answers:
    """By scope (all of a request that is not the record's) and question, as `shared.question` has them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, scope: str) -> frozenset[bytes]:
        """The questions that have an answer now."""
        query = select(answers.c.question).where(
            answers.c.scope == scope, answers.c.expires_at > self._database.clock()
        )
        with self._database.read() as connection:
            found = connection.execute(query.order_by(answers.c.expires_at.desc()).limit(MOST)).scalars()
            return frozenset(bytes.fromhex(question) for question in found)

    def fetch(self, scope: str, questions: Collection[bytes]) -> dict[bytes, bytes]:
        """The answers of these questions, as far as they are there."""
        wanted = sorted({question.hex() for question in questions})
        found: dict[bytes, bytes] = {}
        with self._database.read() as connection:
            for first in range(0, len(wanted), _AT_ONCE):
                chosen = answers.c.question.in_(wanted[first : first + _AT_ONCE])
                query = select(answers.c.question, answers.c.answer).where(answers.c.scope == scope, chosen)
                found |= {bytes.fromhex(row.question): bytes(row.answer) for row in connection.execute(query)}
        return found

    def keep(self, scope: str, given: Mapping[bytes, bytes], until: datetime) -> None:
        """Keep answers; a newer one takes the place of an older one, and lasts as long as it says."""
        items: Sequence[tuple[bytes, bytes]] = list(given.items())
        for first in range(0, len(items), _AT_ONCE):
            with self._database.write() as connection:
                for question, answer in items[first : first + _AT_ONCE]:
                    key = {"scope": scope, "question": question.hex()}
                    values = {"answer": answer, "expires_at": until}
                    if not insert_absent(connection, answers, {**key, **values}):
                        connection.execute(update(answers).filter_by(**key).values(**values))
            reached(Failpoint.ANSWERS_KEPT)

    def forget(self) -> int:
        """Delete what has expired; how much it was."""
        with self._database.write() as connection:
            gone = delete(answers).where(answers.c.expires_at < self._database.clock() - _SPARE)
            return connection.execute(gone).rowcount
