"""What a query says in its model's place: the pairs of `MAP['option', 'value', …]`, judged one by one. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from submitter.pipeline.faults import Faults, Place, nearest
from submitter.pipeline.option_table import FORMER, MEANINGLESS, OPTIONS, RUNTIME


@dataclass(frozen=True)
class Part:
    """One of the expressions in a MAP."""

    text: str | None
    """What a string literal stands for; None of any other expression."""
    line: int


@dataclass(frozen=True)
class Override:
    """A value that a query gives."""

    value: str
    line: int


def read_overrides(parts: Sequence[Part], faults: Faults, place: Place) -> dict[str, Override]:
    """The options that a query gives, by their names; what can't be used is a fault, and left out."""
    found: dict[str, Override] = {}
    for name, value in _pairs(parts, faults, place):
        there = place.at(name, value.line)
        known = FORMER.get(name, name)
        if known in found:
            faults.add(f"it is given twice, first in line {found[known].line}: leave one out", there)
        elif known in OPTIONS and not OPTIONS[known].in_query:
            message = "a query can't give it, as it decides where a key is sent: give it in the model's WITH (…)"
            faults.add(message, there)
        elif known in OPTIONS:
            found[known] = value
        elif known in MEANINGLESS or known in RUNTIME:
            faults.warn(f"it has no meaning here: {MEANINGLESS.get(known) or RUNTIME[known]}", there)
        else:
            hint = nearest(known, [option.name for option in OPTIONS.values() if option.in_query])
            faults.add(f"there is no such option{hint}", there)
    return found


def _pairs(parts: Sequence[Part], faults: Faults, place: Place) -> Iterator[tuple[str, Override]]:
    """The pairs whose two halves are string literals."""
    for index in range(0, len(parts), 2):
        name, *rest = parts[index : index + 2]
        if name.text is None:
            message = "an option's name in MAP[…] must be a string literal, as in MAP['temperature', '0']"
            faults.add(message, Place(name.line, place.statement))
        elif not rest:
            message = "MAP[…] has no value for it: write pairs, as in MAP['temperature', '0', 'batch.size', '20']"
            faults.add(message, place.at(name.text, name.line))
        elif rest[0].text is None:
            message = "its value in MAP[…] must be a string literal, numbers too: write '0', not 0 or an expression"
            faults.add(message, place.at(name.text, rest[0].line))
        else:
            yield name.text, Override(rest[0].text, rest[0].line)
