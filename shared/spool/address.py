"""From an address to the adapter that reads and writes there."""

from pathlib import Path
from urllib.parse import urlsplit

from shared.errors import SpoolError
from shared.spool.local import LocalFiles
from shared.spool.port import Files


def open_files(address: str) -> Files:
    """The files below an address. Raises SpoolError for one that can't be used."""
    if not address.startswith("file:"):
        raise SpoolError(f"spool '{address}' can't be used; give an absolute folder as file:///path")
    return LocalFiles(address)


def folder_at(address: str) -> Files | None:
    """The files of a folder that Flink names: a URL, or a plain path; None where we don't read such an address."""
    scheme = urlsplit(address).scheme
    if scheme == "" and address.startswith("/"):
        return LocalFiles(Path(address).as_uri())
    return open_files(address) if scheme == "file" else None
