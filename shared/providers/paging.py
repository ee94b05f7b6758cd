"""Walking a list of batches to its end, in the pages of either SDK; a list that can't be whole is no answer.

Whoever looks for a create takes what is not in the list for absent, and may create it again.
"""

from collections.abc import Iterator
from typing import Any

from shared.errors import Unknown


def walk(page: Any) -> Iterator[Any]:
    """Every item, page by page. Raises Unknown when a page repeats another one, or is empty and not the last."""
    seen: set[str] = set()
    while True:
        items = page.data or []
        for item in items:
            if item.id in seen:
                raise Unknown(f"a list that can't be walked: it shows {item.id} again")
            seen.add(item.id)
            yield item
        if page.has_more is False or (page.has_more is None and not items):
            return
        if not page.has_next_page():
            raise Unknown("a list that can't be walked: it says that there is more, and does not show it")
        page = page.get_next_page()
