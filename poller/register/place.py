"""Where a batch is published, kept beside its manifest: with another shard its progress markers would not be found.

The store keeps it for good; an older copy of the store may have forgotten it, and the number of shards may have grown.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import SpoolError
from shared.spool import Files

PLACE = "shard.json"


class Place(BaseModel):
    """A shard on a cluster. Written before the first transaction."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    cluster: str
    shard: int = Field(ge=0)


def read_place(files: Files, folder: str) -> Place | None:
    """Where the batch of a folder is, or was, published; None before that. Raises SpoolError for a damaged file."""
    data = files.read(f"{folder}/{PLACE}")
    try:
        return None if data is None else Place.model_validate_json(data)
    except ValidationError as error:
        raise SpoolError(f"{folder}/{PLACE} can't be read: {error}") from error


def keep_place(files: Files, folder: str, place: Place) -> None:
    """Write it, once. Raises SpoolError when the batch was published elsewhere on the same cluster."""
    known = read_place(files, folder)
    if known is None:
        files.create(f"{folder}/{PLACE}", place.model_dump_json().encode())
        known = read_place(files, folder)
    if known is not None and known.cluster == place.cluster and known.shard != place.shard:
        raise SpoolError(f"{folder}/{PLACE} says shard {known.shard}, and the store says {place.shard}: restore either")
