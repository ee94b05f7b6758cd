"""The state store as one object: opened by its address, migrated on the way, with a group of verbs for each concern."""

from typing import Self

from shared.clock import Clock, system_clock
from shared.store.accounts import Accounts
from shared.store.address import engine_for, parse, refuse_missing, shown
from shared.store.answers import Answers
from shared.store.attempts import Attempts
from shared.store.batches import Batches
from shared.store.budgets import Budgets
from shared.store.database import Database
from shared.store.health import Health
from shared.store.leases import Leases
from shared.store.lineage import Lineage
from shared.store.migrate import migrate
from shared.store.plans import Plans
from shared.store.positions import Positions
from shared.store.queues import Queues
from shared.store.rebuilds import Rebuilds
from shared.store.recalls import Recalls
from shared.store.shards import Shards
from shared.store.status import Status
from shared.store.strays import Strays
from shared.store.terms import Terms


class Store:
    """Threads may share a store. A verb raises StoreUnavailable when the database is away, and may be tried again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lineage = Lineage(database)
        self.plans = Plans(database)
        self.positions = Positions(database)
        self.batches = Batches(database)
        self.attempts = Attempts(database)
        self.strays = Strays(database)
        self.leases = Leases(database)
        self.accounts = Accounts(database)
        self.queues = Queues(database)
        self.budgets = Budgets(database)
        self.terms = Terms(database)
        self.answers = Answers(database)
        self.recalls = Recalls(database)
        self.rebuilds = Rebuilds(database)
        self.shards = Shards(database)
        self.health = Health(database)
        self.status = Status(database)

    @classmethod
    def open(cls, url: str, clock: Clock = system_clock, *, create: bool = True) -> Self:
        """Open a store, and bring its schema to this version's; several may do so at once.

        Raises SettingsError for an address that can't be used, a store of a newer version, or, unless it may be
        created, one that is not there; StoreUnavailable when the database can't be reached.
        """
        parsed = parse(url)
        if not create:
            refuse_missing(parsed)
        database = Database(engine_for(parsed), clock)
        try:
            migrate(database, create=create)
        except BaseException:
            database.engine.dispose()
            raise
        return cls(database)

    @property
    def address(self) -> str:
        """The store's address without its password, for messages."""
        return shown(self._database.engine.url)

    def close(self) -> None:
        """Give the connections back."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
