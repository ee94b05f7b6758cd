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
        raise SpoolError("what lies in an object store is read through s3fs: pip install 'batchline[s3]'")
    # With a folder as spool, a process has no use for what speaks to a store, nor the memory.
    from shared.spool.objects import ObjectFiles

    return ObjectFiles(address)


def folder_at(address: str) -> Files | None:
    """The files of a folder that Flink names: a URL, or a path; None where we can't read what is at such an address."""
    scheme = urlsplit(address).scheme
    if scheme in ("", "file"):
        return LocalFiles(address if scheme else Path(address).absolute().as_uri())
    if scheme not in ("s3", "s3a") or find_spec("s3fs") is None:
        return None
    return open_files(address.replace("s3a:", "s3:", 1))
