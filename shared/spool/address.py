"""From an address to the adapter that reads and writes there."""

from shared.errors import SpoolError
from shared.spool.local import LocalFiles
from shared.spool.port import Files


def open_files(address: str) -> Files:
    """The files below an address. Raises SpoolError for one that can't be used."""
    if not address.startswith("file:"):
        raise SpoolError(f"spool '{address}' can't be used; give an absolute folder as file:///path")
    return LocalFiles(address)
