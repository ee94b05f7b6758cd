"""Whether a message on the batches topic is an event that we may look at. Pure: nothing in it is trusted."""

import re
from datetime import datetime
from enum import StrEnum

from pydantic import ValidationError

from shared.keys import generation, is_batch_key, is_name
from shared.manifest import Manifest
from shared.messages import BatchEvent

_LONGEST = 65536
"""Bytes; an event of ours has less than a kilobyte."""
_PROVIDER_BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


class Skip(StrEnum):
    """Why an event was passed over; each is counted."""

    TOMBSTONE = "tombstone"
    MALFORMED = "malformed"
    FOREIGN = "foreign"
    """Its names are no names of ours, or it contradicts itself."""
    NO_MANIFEST = "no manifest"
    """Our spool does not hold the batch."""
    CONTRADICTED = "contradicted"
    """It says something else than our own manifest, or than the receipt of its create."""
    UNTRUSTED = "untrusted"
    """Its manifest names an address that nobody vouches for."""
    BREAKING = "breaking"
    """It broke the reader: a fault of ours."""


def read_event(key: bytes | None, value: bytes | None) -> BatchEvent | Skip:
    """The event, where its form is one of ours: its names can stand in a path, its id in an address."""
    if value is None:
        return Skip.TOMBSTONE
    if len(value) > _LONGEST:
        return Skip.MALFORMED
    try:
        event = BatchEvent.model_validate_json(value)
    except ValidationError:
        return Skip.MALFORMED
    return event if _is_ours(key, event) else Skip.FOREIGN


def contradicts(event: BatchEvent, manifest: Manifest) -> bool:
    """Whether an event speaks of another batch than the manifest that stands in its place."""
    model = manifest.definition.model
    said = (event.account, event.provider, event.model, event.requests, event.records, event.bytes)
    known = (
        model.account,
        model.provider,
        model.model,
        manifest.requests,
        manifest.records,
        manifest.bytes,
    )
    return said != known


def is_provider_batch_id(text: str) -> bool:
    """Whether a foreign text has the form of a batch's id at a provider."""
    return _PROVIDER_BATCH_ID.fullmatch(text) is not None


def _is_ours(key: bytes | None, event: BatchEvent) -> bool:
    return (
        is_batch_key(event.batch_key)
        and key == event.batch_key.encode()
        and is_name(event.pipeline)
        and is_name(event.statement)
        and event.spool == f"{event.pipeline}/{event.statement}/batches/{event.batch_key}"
        and event.generation == generation(event.batch_key)
        and is_provider_batch_id(event.provider_batch_id)
        and _is_moment(event.submitted_at)
        and _is_moment(event.sealed_at)
    )


def _is_moment(at: datetime) -> bool:
    """Whether a time has a zone, and none of the years at the calendar's ends, which can't be moved to another zone."""
    return at.tzinfo is not None and 2000 <= at.year < 2200
