"""Walking a list of batches to its end, in the pages of either SDK; a list that can't be whole is no answer.

Whoever looks for a create takes what is not in the list for absent, and may create it again.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from shared.errors import Unknown
from shared.providers.port import RemoteBatch


def walk(page: Any) -> Iterator[Any]:
    """Every item, page by page. Raises Unknown when a page repeats another one, or is empty and not the last."""
    for items in pages(page):
        yield from items


def newest_first(page: Any, read: Callable[[Any], RemoteBatch], least: datetime) -> Iterator[RemoteBatch]:
    """The batches that were created at a moment or later.

    Raises Unknown for a list in another order, in which more of them could stand behind older ones. The page with the
    first older one is looked through to its end: a list that begins with the oldest shows itself there.
    """
    latest: datetime | None = None
    for items in pages(page):
        for item in items:
            found = read(item)
            if latest is not None and found.created_at > latest:
                raise Unknown(f"a list that can't be walked: {found.id} is newer than the one before it")
            latest = found.created_at
            if latest >= least:
                yield found
        if latest is not None and latest < least:
            return


def pages(page: Any) -> Iterator[list[Any]]:
    """The items of each page. Raises Unknown as `walk` does."""
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
