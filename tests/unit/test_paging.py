"""Lists of batches: whole, or no answer."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from shared.errors import Unknown
from shared.providers.paging import walk


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
    return [item.id for item in walk(page)]


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
