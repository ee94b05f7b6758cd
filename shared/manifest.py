"""What a batch is made of: which rows of a sealed file it covers, and what becomes of each. Never changed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.definition import Definition, Mode
from shared.packing import Packing, Packs

LARGEST = 64 << 20
"""Bytes of a manifest. The limits of a batch (shared.limits) keep one below 50 MB, with every second row another's; one
of 100,000 records as they come has a few kilobytes.
"""
Fate = Literal["request", "rejected", "elsewhere", "echo", "known"]
"""Of a row: packed into a request; set aside with a cause before sending; another batch's, or already paid for; not
asked, because a row before it asks the same: whatever becomes of that one's record becomes of this one's; not asked,
because the same was asked lately: its answer stands beside the manifest.
"""


class Manifest(BaseModel):
    """manifest.json, beside requests.jsonl. Rows count from the range's first; bytes are the sealed file's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch_key: str
    pipeline: str
    statement: str
    generation: int
    parent: str | None = None
    retries: int = 0
    """How many of `batch.max-retries` its requests have used; an account's fault uses none."""
    mode: Mode = "batch"
    """The road of this batch's requests; a child's may be another than its parent's."""
    definition: Definition
    sealed_file: str
    """Below the spool's root: <pipeline>/<statement>/sealed/…"""
    sealed_at: datetime
    start: int
    end: int
    """Byte range [start, end) of the sealed file; both at a line's start."""
    runs: tuple[tuple[int, Fate], ...]
    """Run lengths: what becomes of the range's rows, in order."""
    rejected: tuple[tuple[int, str, str], ...] = ()
    """(row, cause, message) of each rejected row, ascending."""
    echoes: tuple[int, ...] = Field(default=(), exclude_if=lambda echoes: not echoes)
    """For each row that is an echo, in order: the record that asks for it, by its number among those that are asked."""
    known: int = Field(default=0, exclude_if=lambda known: not known)
    """Rows whose answer stands beside the manifest, a JSON string a line, in their order."""
    packs: Packs = Field(default=(), exclude_if=lambda packs: not packs)
    """How many each request holds; empty: one."""
    requests: int
    records: int
    """Rows that are this batch's: all but those that are elsewhere."""
    bytes: int
    """Of requests.jsonl."""
    sha256: str
    """Of requests.jsonl, hexadecimal."""

    @model_validator(mode="before")
    @classmethod
    def _of_any_age(cls, said: Any) -> Any:
        """Earlier versions wrote down the most records in a request too, which `packs` says."""
        return {name: value for name, value in said.items() if name != "pack"} if isinstance(said, dict) else said

    @property
    def packing(self) -> Packing:
        """Which of the records that are asked are in which request."""
        return Packing(self.requests, self.packs)

    def fates(self) -> Iterator[Fate]:
        """The fate of each row of the range, in order."""
        for count, fate in self.runs:
            for _ in range(count):
                yield fate
