"""Accounts at the providers: paused or not, and the limits that were learned from their messages."""

from datetime import datetime

from sqlalchemy import select, update

from shared.store.database import Database, insert_absent
from shared.store.tables import accounts
from shared.store.values import Pause


class Accounts:
    """Pauses are the account's fault, never the data's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, account: str, reason: str, until: datetime | None) -> None:
        """Let an account send nothing until a moment; None: until `resume`."""
        self._set(account, paused=True, paused_until=until, reason=reason)

    def resume(self, account: str) -> None:
        self._set(account, paused=False, paused_until=None, reason=None)

    def paused(self, account: str) -> Pause | None:
        """Why an account sends nothing; None when it may, also once its time is over."""
        return self.all_paused().get(account)

    def all_paused(self) -> dict[str, Pause]:
        """The pauses that are not over, by account."""
        now = self._database.clock()
        with self._database.read() as connection:
            rows = connection.execute(select(accounts).where(accounts.c.paused)).all()
        return {
            row.account: Pause(row.reason, row.paused_until)
            for row in rows
            if row.paused_until is None or row.paused_until > now
        }

    def learn(self, account: str, limit: str, value: int) -> None:
        """Keep a limit that the provider named, such as enqueued tokens."""
        with self._database.write() as connection:
            now = self._database.clock()
            insert_absent(connection, accounts, {"account": account, "updated_at": now})
            this = accounts.c.account == account
            known = connection.execute(select(accounts.c.limits).where(this).with_for_update()).scalar_one()
            connection.execute(update(accounts).where(this).values(limits={**known, limit: value}, updated_at=now))

    def limits(self, account: str) -> dict[str, int]:
        """What was learned of an account's limits."""
        with self._database.read() as connection:
            query = select(accounts.c.limits).where(accounts.c.account == account)
            return dict(connection.execute(query).scalar_one_or_none() or {})

    def _set(self, account: str, **values: object) -> None:
        with self._database.write() as connection:
            row = {**values, "updated_at": self._database.clock()}
            if not insert_absent(connection, accounts, {"account": account, **row}):
                connection.execute(update(accounts).where(accounts.c.account == account).values(**row))
