"""Deletes what collections that were cut short had downloaded: what a provider said in it is not redacted."""

from poller.ask.journal import FOLDER
from poller.collect.decision import Decision
from poller.collect.results import ANSWERS, INDEX
from poller.collect.usage import USAGE
from shared.spool import RESULTS, Files

_OURS = (ANSWERS, INDEX, USAGE)


def forget_downloads(files: Files, folder: str, decision: Decision | None = None) -> None:
    """Of every collection but the one whose decision stands; whoever still reads such a download was overtaken.

    What is left of a collection beside its downloads stays: who was overtaken may be the one that has decided.
    """
    kept = {f"{folder}/{FOLDER}"} | ({f"{folder}/{RESULTS}/{decision.results}"} if decision else set())
    for left in files.entries(f"{folder}/{RESULTS}"):
        for entry in files.entries(left.address) if left.is_folder and left.address not in kept else ():
            if entry.name not in _OURS and not entry.name.startswith("."):
                files.delete(entry.address)
