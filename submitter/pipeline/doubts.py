"""What a refused statement was to define: that it is missing where others use it is no fault of its own. Pure."""

import re

_QUOTED = re.compile(r"['`\[]([^'`\[\]\s]+)['`\]]")
_MISSING = re.compile(r"not found|does(n't| not) exist|no such", re.IGNORECASE)


class Doubts:
    """Names that may have been meant to be defined."""

    def __init__(self, unread: str) -> None:
        """`unread`: the statements that could not be parsed; whatever stands there may be defined there."""
        self._unread = unread
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """A statement that was to define `name` was refused."""
        self._names.add(name)

    def covers(self, name: str) -> bool:
        """Whether `name` may be missing only because another statement was refused."""
        return name in self._names or re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", self._unread) is not None

    def explains(self, message: str) -> bool:
        """Whether Flink misses what another, refused statement may have been to define."""
        return _MISSING.search(message) is not None and any(
            self.covers(name.rpartition(".")[2]) for name in _QUOTED.findall(message)
        )
