"""Every error that batchline raises on purpose, under one root; what a caller may do about each is in its docstring."""

from datetime import timedelta


class BatchlineError(Exception):
    """Something went wrong; the message says what, where, and what to do."""


class SettingsError(BatchlineError):
    """A setting is missing or can't be used; the message names the flag, the variable and the file."""


class IllegalTransition(BatchlineError):
    """An event met a batch in a state that does not allow it; the state is left as it was."""


class LeaseLost(BatchlineError):
    """Another process holds the lease now: nothing was written, and the caller stops working on it."""


class StoreUnavailable(BatchlineError):
    """The state store can't be reached; wait and try again."""


class KafkaUnavailable(BatchlineError):
    """A Kafka cluster can't be reached or is slow; nothing is lost, wait and try again."""


class TopicMismatch(BatchlineError):
    """A topic of ours exists with settings that would lose data; the message says which, and how to correct it."""


class MustRestart(BatchlineError):
    """This process can't go on (an indefinite transaction): it ends at once with an exit code that is not 0.

    The next one recovers from what is committed.
    """


class PositionsPaid(BatchlineError):
    """Another plan has paid for some of these positions meanwhile: nothing was written; look again and plan anew."""


class NameTaken(BatchlineError):
    """Another file uses this pipeline name; the message names it. Choose another name, or take the name over."""


class StaleState(BatchlineError):
    """A batch is absent, or not in the state that the caller had seen: nothing was written; read it again."""


class AccountBusy(BatchlineError):
    """Another create of this account is unresolved, and this provider allows one at a time: wait until it is known."""


class NoRoom(BatchlineError):
    """The provider's queue has no room for a batch that was let in, for others were meanwhile: nothing was written."""


class Unbalanced(BatchlineError):
    """A write would break records = succeeded + failed + carried + in flight: nothing was written. A fault of ours."""


class SpoolError(BatchlineError):
    """A spool address is outside the spool, is missing, or can't be read or written."""


class SpoolAway(SpoolError):
    """The spool can't be reached, read or written now; nothing is lost, wait and try again."""


class ProviderError(BatchlineError):
    """A provider's call did not succeed. The subclass says what is known about its effect.

    `retry_after` is the provider's own word on when to ask again: a Throttled or an Unknown may have one.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


UNREACHED = "no connection"
"""How a NotSent begins, and the reason of a batch that waits for its provider to be reached."""


class NotSent(ProviderError):
    """The connection was never made: the call had no effect, and may be repeated."""


class Throttled(ProviderError):
    """The provider said 429 (or 529) and did nothing."""


class AccountFault(ProviderError):
    """Bad key, no credit, spend cap, full file quota: the account is paused, no record is at fault."""


class MissingCredential(ProviderError):
    """This process's environment lacks the account's key: nothing was sent, and another process may have it."""

    def __init__(self, message: str, account: str) -> None:
        super().__init__(message)
        self.account = account


class EnqueuedLimit(ProviderError):
    """The account's queue is full (tokens or requests): no fault of the data; admit again when there is room."""

    def __init__(self, message: str, *, limit: int | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.limit = limit


class Rejected(ProviderError):
    """A clear 4xx: the provider refused the call for good, and did nothing."""


class NotFound(ProviderError):
    """404: transient after a create or an upload, for minutes; never proof of absence."""


class Unknown(ProviderError):
    """A time-out after sending, 408, 409, 5xx or a reset: a read may be repeated, a create is ambiguous."""
