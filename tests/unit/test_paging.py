"""Lists of batches: whole, or no answer."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from shared.errors import Unknown
from shared.providers.paging import newest_first, pages
from shared.providers.port import RemoteBatch


@dataclass
class Page:
    """As both SDKs' pages are."""

    ids: list[str]
    has_more: bool | None
    following: "Page | None" = None
    data: list[SimpleNamespace] = field(init=False)

    def __post_init__(self) -> None:
        self.data = [SimpleNamespace(id=name) for name in self.ids]

    def has_next_page(self) -> bool:
        return self.has_more is not False and bool(self.data)

    def get_next_page(self) -> "Page":
        assert self.following is not None, "a page beyond the last one is asked for"
        return self.following


def ids(page: Page) -> list[str]:
    return [item.id for items in pages(page) for item in items]


def test_all_pages_are_walked_in_order() -> None:
    assert ids(Page(["a", "b"], has_more=True, following=Page(["c"], has_more=False))) == ["a", "b", "c"]
    assert ids(Page([], has_more=False)) == []


def test_a_provider_that_does_not_say_whether_there_is_more_is_asked_until_a_page_is_empty() -> None:
    assert ids(Page(["a"], None, Page(["b"], None, Page([], None)))) == ["a", "b"]


@pytest.mark.parametrize(
    "page",
    [
        Page(["a", "b"], has_more=True, following=Page(["a", "b"], has_more=True)),
        Page(["a", "b"], has_more=True, following=Page(["b", "c"], has_more=False)),
        Page([], has_more=True),
        Page(["a"], has_more=True, following=Page([], has_more=True)),
    ],
    ids=["the first page again", "pages that overlap", "empty at once", "empty behind the first"],
)
def test_a_list_that_can_not_be_whole_is_no_answer(page: Page) -> None:
    with pytest.raises(Unknown, match="can't be walked"):
        ids(page)


def since(page: Page, least: int) -> list[str]:
    """Batches that are named after the minute of their creation, and a second of it."""

    def read(item: SimpleNamespace) -> RemoteBatch:
        return RemoteBatch(item.id, "completed", "ended", moment(item.id))

    return [found.id for found in newest_first(page, read, moment(str(least)))]


def moment(name: str) -> datetime:
    minute, _, second = name.partition(":")
    return datetime(2027, 1, 1, 0, int(minute), int(second or 0), tzinfo=UTC)


def test_batches_since_a_moment_end_with_the_page_on_which_an_older_one_stands() -> None:
    beyond = Page(["1"], has_more=False)
    page = Page(["9", "8"], has_more=True, following=Page(["7", "5", "4"], has_more=True, following=beyond))
    assert since(page, 7) == ["9", "8", "7"]
    assert since(page, 1) == ["9", "8", "7", "5", "4", "1"]
    assert since(Page(["3", "2"], has_more=True), 7) == [], "no page more than is needed"
    assert since(Page([], has_more=False), 7) == []


def test_a_list_that_has_not_shown_its_order_is_walked_on() -> None:
    assert since(Page(["2", "2:0"], has_more=True, following=Page(["2:00"], has_more=False)), 7) == []
    assert since(Page(["2:02", "2"], has_more=True, following=Page(["2:03"], has_more=False)), 7) == []


def test_neighbours_may_stand_in_either_order() -> None:
    swapped = Page(["9", "7:02", "6:59"], has_more=True, following=Page(["7:01", "6:58"], has_more=False))
    assert since(swapped, 7) == ["9", "7:02", "7:01"]
    assert since(Page(["7", "7:05"], has_more=False), 7) == ["7", "7:05"]
    long_ago = Page(["5", "4"], has_more=True)
    assert since(Page(["9:00", "9:01", "8"], has_more=True, following=long_ago), 7) == ["9:00", "9:01", "8"]


@pytest.mark.parametrize(
    "page",
    [
        Page(["2", "2:0"], has_more=True, following=Page(["9"], has_more=False)),
        Page(["2:02", "2"], has_more=True, following=Page(["2:03", "9"], has_more=False)),
        Page(["7", "7:06"], has_more=False),
        Page(["2", "3", "9"], has_more=False),
        Page(["2", "3"], has_more=True, following=Page(["9"], has_more=False)),
        Page(["8", "2", "9"], has_more=False),
        Page(["8"], has_more=True, following=Page(["9"], has_more=False)),
    ],
    ids=[
        "equal, and more",
        "neighbours, and more",
        "six seconds",
        "the oldest first",
        "the oldest first, and more",
        "no order",
        "no order of pages",
    ],
)
def test_a_list_that_does_not_begin_with_the_newest_is_no_answer(page: Page) -> None:
    with pytest.raises(Unknown, match="newer than the one before it"):
        since(page, 7)
