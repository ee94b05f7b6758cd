"""What one way took, and what a slice of the records says of all of them. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Measured:
    """As the provider's log, the sink's topic and the clock say it."""

    name: str
    records: int
    calls: int
    """Requests that the model answered: synchronous calls, or a batch's lines."""
    seconds: float
    """From the command's start to the last record in the sink's topic."""
    asking: float
    """Seconds between the first and the last answer of synchronous calls, a part of `seconds`."""
    input_tokens: int
    output_tokens: int
    errors: int
    usd: float
    extrapolated_from: int | None = None
    """The records that were really asked, where they were not all."""


def extrapolated(slice_: Measured, records: int) -> Measured:
    """What so many records would have taken: all that grows with them is scaled, the start and the end are not."""
    factor = records / slice_.records
    return replace(
        slice_,
        records=records,
        calls=round(slice_.calls * factor),
        seconds=slice_.seconds - slice_.asking + slice_.asking * factor,
        asking=slice_.asking * factor,
        input_tokens=round(slice_.input_tokens * factor),
        output_tokens=round(slice_.output_tokens * factor),
        errors=round(slice_.errors * factor),
        usd=slice_.usd * factor,
        extrapolated_from=slice_.records,
    )
