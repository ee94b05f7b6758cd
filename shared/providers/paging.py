"""Walking a list of batches to its end, in the pages of either SDK; a list that can't be whole is no answer.

Whoever looks for a create takes what is not in the list for absent, and may create it again.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from shared.errors import Unknown
from shared.providers.port import RemoteBatch

_NEIGHBOURS = timedelta(seconds=5)
"""Batches created so close to each other may stand in either order, where a service lists by another stamp."""


def newest_first(page: Any, read: Callable[[Any], RemoteBatch], least: datetime) -> Iterator[RemoteBatch]:
    """The batches that were created at a moment or later; neighbours in either order.

    Ends before the list does only where the list has shown that it begins with the newest, and none that is wanted can
    stand further on. Raises Unknown for a list in another order: it may move while it is walked.
    """
    highest = lowest = None
    has_fallen = False
    for items in pages(page):
        for item in items:
            found = read(item)
            if lowest is not None and found.created_at > lowest + _NEIGHBOURS:
                raise Unknown(f"a list that can't be walked: {found.id} is newer than the one before it")
            highest = max(highest or found.created_at, found.created_at)
            lowest = min(lowest or found.created_at, found.created_at)
            has_fallen |= found.created_at + _NEIGHBOURS < highest
            if found.created_at >= least:
                yield found
        if lowest is not None and lowest + _NEIGHBOURS < least and has_fallen:
            return


def pages(page: Any) -> Iterator[list[Any]]:
    """The items of each page. Raises Unknown when a page repeats another one, or is empty and not the last."""
    seen: set[str] = set()
    while True:
        items = page.data or []
        for item in items:
            if item.id in seen:
                raise Unknown(f"a list that can't be walked: it shows {item.id} again")
            seen.add(item.id)
        yield items
        if page.has_more is False or (page.has_more is None and not items):
            return
        if not page.has_next_page():
            raise Unknown("a list that can't be walked: it says that there is more, and does not show it")
        page = page.get_next_page()
