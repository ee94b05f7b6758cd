import pytest

from submitter.pipeline.doubts import Doubts

UNREAD = "CREATE TABEL reviews (id STRING) WITH ('topic' = 'films-seen');"


@pytest.mark.parametrize(
    ("name", "covered"), [("reviews", True), ("review", False), ("seen", True), ("latest", True), ("late", False)]
)
def test_what_a_refused_statement_names_may_be_missing(name: str, covered: bool) -> None:
    doubts = Doubts(UNREAD)
    doubts.add("latest")
    assert doubts.covers(name) == covered


@pytest.mark.parametrize(
    ("message", "explained"),
    [
        ("Object 'reviews' not found", True),
        ("Source table '`default_catalog`.`default_database`.`reviews`' of the LIKE clause not found", True),
        ("A catalog with name [reviews] does not exist.", True),
        ("Object 'others' not found", False),
        ("Column 'id' is ambiguous", False),
    ],
)
def test_what_flink_misses_is_explained_only_by_what_was_refused(message: str, explained: bool) -> None:
    assert Doubts(UNREAD).explains(message) == explained
