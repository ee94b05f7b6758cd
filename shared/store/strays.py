"""Strays: second provider batches of one key, which should not be, and what is known at the provider at all."""

from datetime import datetime

from sqlalchemy import select, update

from shared.store.database import Database, insert_absent
from shared.store.tables import attempts, batches, strays
from shared.store.values import Stray


class Strays:
    """Found by look-ups and by the poller's audit; a person is told of each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, key: str, account: str, provider_batch_id: str, *, cancelled: bool) -> bool:
        """Note a second provider batch of one key; whether it is new. `cancelled`: its end has been asked for."""
        with self._database.write() as connection:
            now = self._database.clock()
            values = {"provider_batch_id": provider_batch_id, "batch_key": key, "account": account, "found_at": now}
            new = insert_absent(connection, strays, values)
            if cancelled:
                this = strays.c.provider_batch_id == provider_batch_id
                connection.execute(update(strays).where(this).values(cancelled_at=now))
            return new

    def since(self, moment: datetime) -> list[Stray]:
        """The second provider batches that were found since a moment, oldest first."""
        query = select(strays).where(strays.c.found_at >= moment).order_by(strays.c.found_at)
        with self._database.read() as connection:
            return [Stray(**row._asdict()) for row in connection.execute(query)]

    def is_known(self, account: str, provider_batch_id: str) -> bool:
        """Whether a provider batch belongs to an attempt or a batch of the account, or is known as a stray."""
        with self._database.read() as connection:
            return any(
                connection.execute(
                    select(table.c.account)
                    .where((table.c.account == account) & (table.c.provider_batch_id == provider_batch_id))
                    .limit(1)
                ).first()
                for table in (attempts, batches, strays)
            )
