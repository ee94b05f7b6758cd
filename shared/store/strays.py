"""Strays: second provider batches of one key, which should not be, and what is known at the provider at all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, or_, select, update

from shared.failpoints import Failpoint, reached
from shared.store.creates import Stray, Whose
from shared.store.database import Database, insert_absent
from shared.store.tables import attempts, batches, strays


class Strays:
    """Found by look-ups and by the poller's audit; a person is told of each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self,
        key: str,
        account: str,
        provider_batch_id: str,
        *,
        whose: Whose = Whose.OURS,
        created_at: datetime | None = None,
    ) -> bool:
        """Note what is, or may be, a second provider batch of one key; whether it is new."""
        with self._database.write() as connection:
            values = {
                "provider_batch_id": provider_batch_id,
                "batch_key": key,
                "account": account,
                "found_at": self._database.clock(),
                "created_at": created_at,
                "whose": whose,
            }
            is_new = insert_absent(connection, strays, values)
        if is_new:
            reached(Failpoint.STRAY_NOTED)
        return is_new

    def cancelled(self, provider_batch_id: str) -> None:
        """Its end was asked for: the operator's word, or a proof, makes it ours."""
        self._amend(provider_batch_id, cancelled_at=self._database.clock(), whose=Whose.OURS)
        reached(Failpoint.STRAY_CANCEL_KNOWN)

    def attribute(self, provider_batch_id: str, batch_key: str) -> None:
        """Its results have said whose it is, and that batch may still adopt it."""
        self._amend(provider_batch_id, batch_key=batch_key)

    def settle(
        self,
        provider_batch_id: str,
        whose: Whose,
        *,
        batch_key: str | None = None,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cost_usd: float | None = None,
        is_estimate: bool = False,
    ) -> None:
        """Nothing more will be learned of it: whose it is, and what it cost."""
        values = {
            "settled_at": self._database.clock(),
            "whose": whose,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cost_usd": cost_usd,
            "is_estimate": is_estimate,
        }
        self._amend(provider_batch_id, **values, **({} if batch_key is None else {"batch_key": batch_key}))
        reached(Failpoint.STRAY_SETTLED)

    def open(self) -> list[Stray]:
        """Those of which more can still be learned, oldest first."""
        return self._select(strays.c.settled_at.is_(None))

    def since(self, moment: datetime) -> list[Stray]:
        """Those that were found or settled since a moment, oldest first; those of others only where cancelled."""
        recent = or_(strays.c.found_at >= moment, strays.c.settled_at >= moment, strays.c.settled_at.is_(None))
        return self._select(recent, or_(strays.c.whose != Whose.FOREIGN, strays.c.cancelled_at.is_not(None)))

    def proved(self, *, but_of: str) -> set[str]:
        """The provider batches whose results have proved them strays of other batches than this one."""
        proof = (strays.c.whose == Whose.OURS) & strays.c.settled_at.is_not(None) & strays.c.is_estimate.is_(False)
        query = select(strays.c.provider_batch_id).where(proof, strays.c.batch_key != but_of)
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def is_known(self, provider_batch_id: str) -> bool:
        """Whether a provider batch belongs to an attempt or a batch, of whichever key, or is known as a stray."""
        with self._database.read() as connection:
            return any(
                connection.execute(
                    select(table.c.account).where(table.c.provider_batch_id == provider_batch_id).limit(1)
                ).first()
                for table in (attempts, batches, strays)
            )

    def _select(self, *conditions: Any) -> list[Stray]:
        query = select(strays).where(*conditions).order_by(strays.c.found_at, strays.c.provider_batch_id)
        with self._database.read() as connection:
            rows: Sequence[Row[Any]] = connection.execute(query).all()
        return [Stray(**{**row._asdict(), "whose": Whose(row.whose)}) for row in rows]

    def _amend(self, provider_batch_id: str, **values: Any) -> None:
        with self._database.write() as connection:
            this = strays.c.provider_batch_id == provider_batch_id
            connection.execute(update(strays).where(this).values(**values))
