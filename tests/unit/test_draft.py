"""A plan attempt covers every row of its file once, within the limits, and pays for each position once."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.definition import BatchOptions, Column, Definition, Source, SqlType
from shared.errors import SpoolError
from shared.manifest import Manifest
from shared.providers.bodies import request_lines
from shared.providers.profiles import PROFILES
from shared.spool import REQUESTS, open_files
from submitter.planning.draft import Draft
from submitter.planning.ledger import Ledger
from tests.rig import samples

LIMITS = replace(PROFILES["openai"], max_requests=7, max_bytes=5_000)
texts = st.one_of(st.none(), st.text(max_size=30), st.text(min_size=1200, max_size=6000))


def draft(
    root: Path, stated: Definition, lines: list[bytes], paid: list[tuple[int, int]] | None = None
) -> tuple[Draft, list[Manifest], Path]:
    file = samples.seal(open_files(root.as_uri()), stated, lines)
    assert stated.source is not None
    ledger = Ledger(stated.source, lambda _topic, _partition, _low: paid or [])
    made = Draft(stated, request_lines(stated.model), LIMITS, file, root / "attempt", ledger)
    return made, made.write(root / file.address), root / "attempt"


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, max_size=40), st.sets(st.integers(0, 40), max_size=10))
def test_every_row_is_in_one_batch_once_or_was_paid_for(reviews: list[str | None], gone: set[int]) -> None:
    stated = samples.definition()
    lines = [samples.sealed_line(n, text, [0, 0, n]) for n, text in enumerate(reviews)]
    with TemporaryDirectory() as folder:
        paid = [(n, n + 1) for n in sorted(gone)]
        made, manifests, attempt = draft(Path(folder), stated, lines, paid)
        seen, data, expected = 0, b"".join(lines), set(range(len(reviews))) - gone
        answered: set[int] = set()
        for manifest in manifests:
            rows = data[manifest.start : manifest.end].split(b"\n")[:-1]
            body = (attempt / manifest.batch_key / REQUESTS).read_bytes()
            requests = [orjson.loads(line) for line in body.split(b"\n")[:-1]]
            assert len(body) == manifest.bytes <= LIMITS.max_bytes
            assert len(requests) == manifest.requests <= LIMITS.max_requests
            fates = list(manifest.fates())
            assert len(fates) == len(rows)
            packed = [orjson.loads(row)["row"] for row, fate in zip(rows, fates, strict=True) if fate == "request"]
            assert [r["body"]["messages"][-1]["content"] for r in requests] == [row["review"] for row in packed]
            assert [r["custom_id"] for r in requests] == [f"{manifest.batch_key}-{n}" for n in range(len(requests))]
            assert {row for row, _, _ in manifest.rejected} == {n for n, fate in enumerate(fates) if fate == "rejected"}
            ours = {seen + n for n, fate in enumerate(fates) if fate != "elsewhere"}
            assert len(ours) == manifest.records
            assert not ours & answered
            answered |= ours
            seen += len(rows)
        assert answered == expected, "a row is in no batch, or one that was paid for is"
        assert made.rows == len(reviews)
        assert made.skipped == len(gone & set(range(len(reviews))))
        assert {n for _, _, _, start, end in made.positions() for n in range(start, end)} == expected


@pytest.mark.parametrize(
    ("review", "cause"),
    [(None, "null-input"), ("", "empty-input"), (" \n", "empty-input"), ("x" * 6000, "too-large")],
)
def test_a_row_without_a_request_is_set_aside_with_its_cause(tmp_path: Path, review: str | None, cause: str) -> None:
    lines = [samples.sealed_line(n, text, None) for n, text in enumerate(["good", review, "fine"])]
    _, (manifest,), _ = draft(tmp_path, samples.definition(), lines)
    assert manifest.runs == ((1, "request"), (1, "rejected"), (1, "request"))
    ((row, why, message),) = manifest.rejected
    assert (row, why) == (1, cause)
    assert message
    assert (manifest.records, manifest.requests) == (3, 2)


def test_the_same_file_and_definition_give_the_same_bytes(tmp_path: Path) -> None:
    lines = [samples.sealed_line(n, f"review {n}", [0, 0, n]) for n in range(20)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, first, _ = draft(tmp_path / "a", samples.definition(), lines)
    _, second, _ = draft(tmp_path / "b", samples.definition(), lines)
    assert first == second


def test_a_damaged_line_is_named_and_nothing_is_planned(tmp_path: Path) -> None:
    good = samples.sealed_line(0, "good", [0, 0, 0])
    with pytest.raises(SpoolError, match=f"byte {len(good)}: not a sealed row"):
        draft(tmp_path, samples.definition(), [good, b'{"row":\n'])


def test_several_columns_become_an_object_and_a_template_knows_the_models_names(tmp_path: Path) -> None:
    columns = (Column(name="title", type=samples.STRING), Column(name="text", type=samples.STRING))
    two = {"input": columns, "descriptor": ("review_id", "review")}
    lines = [samples.sealed_line(7, 'say "hi"\n\u2028🎬', None)]
    _, (manifest,), attempt = draft(tmp_path, samples.definition(model=two), lines)
    sent = orjson.loads((attempt / manifest.batch_key / REQUESTS).read_bytes())["body"]["messages"][-1]["content"]
    assert orjson.loads(sent) == {"title": "7", "text": 'say "hi"\n\u2028🎬'}

    stated = samples.definition(model=two, batch=BatchOptions(prompt="{{ title }}: {{ text | upper }}"))
    (tmp_path / "t").mkdir()
    _, (manifest,), attempt = draft(tmp_path / "t", stated, lines)
    sent = orjson.loads((attempt / manifest.batch_key / REQUESTS).read_bytes())["body"]["messages"][-1]["content"]
    assert sent == '7: SAY "HI"\n\u2028🎬'


@pytest.mark.parametrize(
    "template", ["{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__.os }}", "{{ 1/0 }}"]
)
def test_a_template_can_not_leave_its_sandbox_and_its_failure_is_the_rows(tmp_path: Path, template: str) -> None:
    stated = samples.definition(batch=BatchOptions(prompt=template))
    _, (manifest,), _ = draft(tmp_path, stated, [samples.sealed_line(0, "x", None)])
    assert manifest.rejected[0][1] == "render-error"


def test_a_record_that_flink_made_several_rows_of_is_paid_for_once_and_answered_row_by_row(tmp_path: Path) -> None:
    """Flink's JSON format makes a row of each element of a top-level array, and all have the record's offset."""
    offsets = [6, 7, 7, 7, 8, 9, 9, 10]
    lines = [samples.sealed_line(n, f"review {n}", [0, 0, offset]) for n, offset in enumerate(offsets)]
    made, manifests, _ = draft(tmp_path, samples.definition(), lines, paid=[(9, 10)])
    assert sum(manifest.records for manifest in manifests) == 6
    assert made.skipped == 2
    assert [run[3:] for run in made.positions()] == [(6, 9), (10, 11)]


def test_rows_of_one_record_are_known_by_their_own_partition_whatever_comes_between_them(tmp_path: Path) -> None:
    """The writer takes the rows of several topics, and of several partitions, in turn."""
    source = Source(cluster_id="cluster", topics=(("reviews", "topic-id"), ("letters", "other-id")))
    arriving = [[0, 0, 5], [1, 0, 7], [0, 0, 5], [0, 1, 5], [0, 0, 5], [1, 0, 7]]
    lines = [samples.sealed_line(n, f"review {n}", position) for n, position in enumerate(arriving)]
    made, (manifest,), _ = draft(tmp_path, samples.definition(source=source), lines)
    assert (manifest.records, made.skipped) == (len(arriving), 0)
    assert [run[1:] for run in made.positions()] == [
        ("topic-id", 0, 5, 6),
        ("topic-id", 1, 5, 6),
        ("other-id", 0, 7, 8),
    ]


def test_a_position_that_comes_back_later_is_a_replay(tmp_path: Path) -> None:
    lines = [samples.sealed_line(n, f"review {n}", [0, 0, offset]) for n, offset in enumerate([6, 7, 6, 7])]
    made, (manifest,), _ = draft(tmp_path, samples.definition(), lines)
    assert (manifest.records, made.skipped) == (2, 2)


@pytest.mark.parametrize("amount", ["123456789012345678901234567890.12", "98765432109876543210987", "0.10", "7"])
@pytest.mark.parametrize("prompt", [None, '{"amount":{{ amount }},"note":null}'])
def test_a_decimal_is_asked_for_digit_by_digit(tmp_path: Path, amount: str, prompt: str | None) -> None:
    decimal = Column(name="amount", type=SqlType(root="DECIMAL", precision=38, scale=2))
    note = Column(name="note", type=samples.STRING)
    stated = samples.definition(
        model={"input": (decimal, note), "descriptor": ("amount", "note")},
        row=(decimal, note),
        batch=BatchOptions(prompt=prompt),
    )
    line = f'{{"row":{{"amount":{amount},"note":null}},"position":[0,0,5]}}\n'.encode()
    made, (manifest,), attempt = draft(tmp_path, stated, [line])
    sent = orjson.loads((attempt / manifest.batch_key / REQUESTS).read_bytes())["body"]["messages"][-1]["content"]
    assert sent == f'{{"amount":{amount},"note":null}}'
    assert [run[3:] for run in made.positions()] == [(5, 6)]


def test_a_file_that_is_read_in_part_is_not_planned(tmp_path: Path) -> None:
    """Cut between two rows, by a disk or on its way from a store: what a plan leaves out is never sent."""
    stated = samples.definition()
    lines = [samples.sealed_line(n, f"review {n}", None) for n in range(4)]
    file = samples.seal(open_files(tmp_path.as_uri()), stated, lines)
    (tmp_path / file.address).write_bytes(b"".join(lines[:2]))
    made = Draft(stated, request_lines(stated.model), LIMITS, file, tmp_path / "attempt", None)
    with pytest.raises(
        SpoolError, match=f"has {sum(map(len, lines))} bytes, of which {sum(map(len, lines[:2]))} could"
    ):
        made.write(tmp_path / file.address)
