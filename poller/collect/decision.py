"""The one decision on a batch's results: which answers count, and which children carry the rest. Made once, for good.

It stands in a file beside the manifest, created if absent. A collector that was overtaken, one that follows a crash,
and one whose store was restored from an older copy find it there and follow it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poller.collect.unpacking import NOTHING_ODD, OddEntries
from shared.errors import SpoolError
from shared.providers.port import UNCACHED, Cached
from shared.spool import DECISION, RESULTS, Files


class Decision(BaseModel):
    """What a collection found. The counts are those of the results that it was made of."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    results: str = Field(pattern=r"^[0-9a-f]{32}$")
    """The folder of its results, below the batch's `results`."""
    refused: bool
    """The provider refused the batch as such: none of its requests ran."""
    attempt: str | None = None
    """The address of the folder in which the children were written."""
    children: tuple[str, ...] = ()
    """Their keys."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached: Cached = UNCACHED
    """Of the input tokens."""
    duplicate_lines: int = 0
    unknown_lines: int = 0
    malformed_lines: int = 0
    unknown_calls: int = 0
    odd: OddEntries = NOTHING_ODD
    """Of answers for several records."""


def read_decision(files: Files, folder: str) -> Decision | None:
    """The decision on the batch of a folder; None when there is none yet. Raises SpoolError for a damaged one."""
    data = files.read(f"{folder}/{DECISION}")
    try:
        return None if data is None else Decision.model_validate_json(data)
    except ValidationError as error:
        raise SpoolError(f"{folder}/{DECISION} can't be read: {error}") from error


def decide(files: Files, folder: str, decision: Decision) -> Decision:
    """Write a decision unless there is one; gives the one that stands."""
    if files.create(f"{folder}/{DECISION}", decision.model_dump_json().encode()):
        return decision
    stands = read_decision(files, folder)
    if stands is None:
        raise SpoolError(f"{folder}/{DECISION} was there, and is not any more")
    return stands


def results_in(folder: str, decision: Decision) -> str:
    """Where the results of a decision lie."""
    return f"{folder}/{RESULTS}/{decision.results}"
