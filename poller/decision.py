"""The one decision on a batch's results: which answers count, and which children carry the rest. Made once, for good.

It stands in a file beside the manifest, created if absent. A collector that was overtaken, one that follows a crash,
and one whose store was restored from an older copy find it there and follow it.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import SpoolError
from shared.spool import RESULTS, create_if_absent

DECISION = "collected.json"


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
    duplicate_lines: int = 0
    unknown_lines: int = 0
    malformed_lines: int = 0


def read_decision(folder: Path) -> Decision | None:
    """The decision on the batch of a folder; None when there is none yet. Raises SpoolError for a damaged one."""
    try:
        return Decision.model_validate_json((folder / DECISION).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise SpoolError(f"{folder / DECISION} can't be read: {error}") from error


def decide(folder: Path, decision: Decision) -> Decision:
    """Write a decision unless there is one; gives the one that stands."""
    if create_if_absent(folder / DECISION, decision.model_dump_json().encode()):
        return decision
    stands = read_decision(folder)
    if stands is None:
        raise SpoolError(f"{folder / DECISION} was there, and is not any more")
    return stands


def results_in(folder: Path, decision: Decision) -> Path:
    """Where the results of a decision lie."""
    return folder / RESULTS / decision.results
