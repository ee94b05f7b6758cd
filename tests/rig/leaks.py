"""Where a secret stands that must stand in the environment only, however it is said: in bytes, files, tables, topics.

It knows nothing of how the product redacts.
"""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import create_engine, inspect, text

from tests.rig.kafka import read_topic


class Leaks:
    """Searches for some secrets: as they are, in an address, and in base64 behind whatever stands before them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.forms = sorted({form for secret in secrets for form in _forms(secret)})

    def holds(self, data: bytes) -> bool:
        return any(form in data for form in self.forms)

    def in_files(self, folder: Path, but_not: Iterable[Path] = ()) -> Iterator[str]:
        """Files below a folder, by their names in it."""
        excluded = tuple(f"{other}/" for other in but_not)
        for path in folder.rglob("*"):
            if path.is_file() and not str(path).startswith(excluded) and self.holds(path.read_bytes()):
                yield str(path.relative_to(folder))

    def in_topic(self, bootstrap: str, topic: str) -> Iterator[str]:
        """Records of a topic, also those of aborted transactions, as a consumer unpacks them."""
        for record in read_topic(bootstrap, topic, "read_uncommitted"):
            if self.holds(b"\0".join(part for part in (record.key, record.value, *record.headers.values()) if part)):
                yield f"{topic}/{record.partition}/{record.offset}"

    def in_tables(self, store: str) -> Iterator[str]:
        """Columns of a database: a value may be split over a file's pages."""
        engine = create_engine(store)
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                    held = (column for column, value in row.items() if value is not None and self.holds(_bytes(value)))
                    yield from (f"{table}.{column}" for column in held)
        engine.dispose()


def _forms(secret: str) -> Iterator[bytes]:
    data = secret.encode()
    yield data
    yield quote(secret).encode()
    yield quote(secret, safe="").encode()
    for before in range(3):
        # The letters at its ends are decided on by what stands beside it.
        whole = base64.b64encode(bytes(before) + data)
        said = whole[4 * (before > 0) : (before + len(data)) // 3 * 4]
        yield said
        yield said.translate(bytes.maketrans(b"+/", b"-_"))


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
