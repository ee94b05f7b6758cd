"""What may still be spent on synchronous calls: estimated before each, settled with what it really used. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field

Price = Callable[[int, int], float | None]
"""US dollars for so many input and output tokens; None where no price is known."""

_DUST = 1e-9
_BYTES_PER_TOKEN = 4
"""Of a request line, the body's own words included: a rule of thumb for English text."""


@dataclass
class Ceiling:
    """A limit in US dollars, and what counts against it. Without a limit everything fits.

    It can be exceeded only by what calls under way cost more than their estimate. `granted` is another one, of what a
    day has left, for the calls that are reserved here alone.
    """

    limit: float | None
    price: Price
    answer: int
    """Tokens that an answer is taken for beforehand."""
    spent: float = 0.0
    """Also by others that share the limit."""
    granted: float | None = None
    _of_grant: float = 0.0
    _reserved: dict[int, float] = field(default_factory=dict)
    _estimated: float = 0.0
    _used: float = 0.0

    def estimate(self, size: int) -> float | None:
        """What the request of a line of so many bytes costs, corrected upwards by those that were settled."""
        guess = self.price(size // _BYTES_PER_TOKEN, self.answer)
        if guess is None:
            return None
        return guess * max(self._used / self._estimated, 1.0) if self._estimated else guess

    def reserve(self, request: int, size: int) -> bool:
        """Reserve what a call may cost; False, with nothing reserved, when it does not fit any more."""
        if self.limit is None and self.granted is None:
            return True
        cost = self.estimate(size)
        if cost is None or not self.fits(cost) or not self._is_granted(cost):
            return False
        self._reserved[request] = cost
        return True

    def fits(self, cost: float) -> bool:
        """Whether so much fits the limit, whatever is granted."""
        return self.limit is None or self.spent + sum(self._reserved.values()) + cost <= self.limit

    def _is_granted(self, cost: float) -> bool:
        return self.granted is None or self._of_grant + sum(self._reserved.values()) + cost <= self.granted + _DUST

    def settle(self, request: int, input_tokens: int, output_tokens: int) -> None:
        """A call was answered: what it used takes the place of what was reserved."""
        if self.limit is None and self.granted is None:
            return
        estimated, used = self._reserved.pop(request, 0.0), self.price(input_tokens, output_tokens) or 0.0
        self._estimated, self._used, self.spent = self._estimated + estimated, self._used + used, self.spent + used
        self._of_grant += used

    def release(self, request: int) -> None:
        """A call had no effect."""
        self._reserved.pop(request, None)

    def forfeit(self, request: int, size: int) -> None:
        """Nobody knows what became of a call: it counts as paid for."""
        if self.limit is None and self.granted is None:
            return
        reserved = self._reserved.pop(request, 0.0)
        self.spent += reserved or self.estimate(size) or 0.0
        self._of_grant += reserved
