"""Why a batch that has ended is not collected now."""

from typing import ClassVar

from shared.errors import BatchlineError


class Undone(BatchlineError):
    """There is nothing to collect: the batch went back, and counts under `count`."""

    count: ClassVar[str]


class Disproved(Undone):
    """What was adopted holds another's results, or none, or is gone: it counts as not ours, and was disowned."""

    count = "disowned"


class Bounced(Undone):
    """None of its requests ran, by a fault of the account or the definition: it is held, and sent again as it is."""

    count = "bounced"


class Early(BatchlineError):
    """Results are missing that may still show; read them again later."""
