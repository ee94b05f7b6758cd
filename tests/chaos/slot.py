"""A worker's slot: a broker, a PostgreSQL server, a migrated store to copy, and the zygote; kept for many runs."""


class Slot:
    """Runs go one after another in a slot, on topics and stores of their own."""
