"""What was answered lately and is not asked again: its answers stand beside the manifest that counts on them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from shared.errors import SpoolError
from shared.spool import KNOWN, private_opener
from submitter.planning.part import Part


@dataclass(frozen=True)
class Lately:
    """Questions that have an answer already, and where it is had."""

    questions: frozenset[bytes] = frozenset()
    fetch: Callable[[Sequence[bytes]], dict[bytes, bytes]] = lambda _: {}

    def write(self, part: Part) -> None:
        """The answers of a batch's rows that are not asked, in their order. Raises SpoolError where one is gone."""
        if not part.known:
            return
        found = self.fetch(part.known)
        gone = len(set(part.known) - found.keys())
        if gone:
            raise SpoolError(f"{gone} answers that batch {part.key} counts on are gone: its file is planned again")
        lines = (orjson.dumps(found[question].decode()) + b"\n" for question in part.known)
        with open(part.folder / KNOWN, "wb", opener=private_opener) as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())


NOTHING = Lately()
