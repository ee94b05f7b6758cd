"""Intents and receipts beside a batch's manifest: what an older copy of the state store must not be able to forget."""

import re
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import SpoolError
from shared.spool import Spool

_INTENT = re.compile(r"intent-([0-9]{1,9})\.json")
_RECEIPT = re.compile(r"receipt-([0-9]{1,9})\.json")

Kept = TypeVar("Kept", bound=BaseModel)


class Intent(BaseModel):
    """A create is about to be sent. Written if absent: an attempt has one intent, whoever asks."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    attempt: int
    started_at: datetime
    requests: int
    bytes: int
    input_file_id: str | None


class Receipt(BaseModel):
    """A create was accepted under this id."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = 1
    attempt: int
    provider_batch_id: str
    created_at: datetime


def write_intent(spool: Spool, folder: str, intent: Intent) -> bool:
    """Write an intent unless this attempt has one already; says whether it was written."""
    return spool.files.create(f"{folder}/intent-{intent.attempt}.json", intent.model_dump_json().encode())


def write_receipt(spool: Spool, folder: str, receipt: Receipt) -> None:
    """Write a receipt, whole or not at all: an attempt is accepted once."""
    spool.files.create(f"{folder}/receipt-{receipt.attempt}.json", receipt.model_dump_json().encode())


def read_intent(spool: Spool, folder: str, attempt: int) -> Intent | None:
    """The intent of an attempt; None when it has none."""
    return _read(spool, f"{folder}/intent-{attempt}.json", Intent)


def newest_intent(spool: Spool, folder: str) -> Intent | None:
    """The intent of the last attempt; None for a batch that nobody has tried to send."""
    numbers = intended(spool, folder)
    return read_intent(spool, folder, numbers[-1]) if numbers else None


def intended(spool: Spool, folder: str) -> list[int]:
    """The numbers of the attempts that have an intent, in order."""
    return _numbers(spool, folder, _INTENT)


def read_receipt(spool: Spool, folder: str, attempt: int) -> Receipt | None:
    """The receipt of an attempt; None when it has none."""
    return _read(spool, f"{folder}/receipt-{attempt}.json", Receipt)


def newest_receipt(spool: Spool, folder: str, since: int) -> Receipt | None:
    """The newest receipt of an attempt or a later one; None when there is none.

    A store that was restored from an older copy knows nothing of the later ones: what they created is what counts.
    """
    numbers = _numbers(spool, folder, _RECEIPT)
    return read_receipt(spool, folder, numbers[-1]) if numbers and numbers[-1] >= since else None


def _read(spool: Spool, address: str, kind: type[Kept]) -> Kept | None:
    """A file beside the manifest; None where there is none. Raises SpoolError for a damaged one."""
    data = spool.files.read(address)
    try:
        return None if data is None else kind.model_validate_json(data)
    except ValidationError as error:
        raise SpoolError(f"{address} can't be read: {error}") from error


def _numbers(spool: Spool, folder: str, name: re.Pattern[str]) -> list[int]:
    """The numbers of such files, in order."""
    prefix = name.pattern.partition("(")[0]
    found = (name.fullmatch(entry.name) for entry in spool.files.entries(folder, prefix) if not entry.is_folder)
    return sorted(int(match[1]) for match in found if match)
