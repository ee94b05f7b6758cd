"""From an address to the adapter that reads and writes there."""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from shared.errors import SpoolError
from shared.spool.local import LocalFiles
from shared.spool.port import Files


def open_files(address: str) -> Files:
    """The files below an address. Raises SpoolError for one that can't be used."""
    if address.startswith("file:"):
        return LocalFiles(address)
    if not address.startswith("s3:"):
        shown = urlsplit(address).scheme or address
        raise SpoolError(f"spool '{shown}' can't be used; give a folder as file:///path, or s3://bucket/prefix")
    if find_spec("s3fs") is None:
        raise SpoolError("a spool in an object store needs s3fs: pip install 'batchline[s3]'")
    # With a folder as spool, a process has no use for what speaks to a store, nor the memory.
    from shared.spool.objects import ObjectFiles

    return ObjectFiles(address)


def folder_at(address: str) -> Files | None:
    """The files of a folder that Flink names: a URL, or a plain path; None where we don't read such an address."""
    scheme = urlsplit(address).scheme
    if scheme == "" and address.startswith("/"):
        return LocalFiles(Path(address).as_uri())
    if scheme == "s3a":
        address = address.replace("s3a:", "s3:", 1)
    return open_files(address) if scheme in ("file", "s3", "s3a") else None
