"""The spool: addresses of sealed files, batches and results, and safe writes, in a folder or in an object store."""

from shared.spool.address import folder_at, open_files
from shared.spool.disk import make_folder, private_opener, sync_folder, write_atomic
from shared.spool.layout import ANNALS, DECISION, KNOWN, MANIFEST, PLAN, REQUESTS, RESULTS, SealedFile, Spool
from shared.spool.port import Entry, Files

__all__ = [
    "ANNALS",
    "DECISION",
    "KNOWN",
    "MANIFEST",
    "PLAN",
    "REQUESTS",
    "RESULTS",
    "Entry",
    "Files",
    "SealedFile",
    "Spool",
    "folder_at",
    "make_folder",
    "open_files",
    "private_opener",
    "sync_folder",
    "write_atomic",
]
