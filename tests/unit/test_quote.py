"""An estimate's arithmetic, and rows that a user wrote down."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.rehearsal.quote import Measured, Terms, batches_of, scaled, seconds_batched, seconds_called
from deploy.rehearsal.rows import sealed_lines
from shared.admission import UNCUT, Cut
from shared.errors import SettingsError
from shared.rows import row_reader
from tests.rig.samples import definition

SAMPLE = Measured(records=100, refused=2, requests=98, bytes=40_000, input_tokens=10_000, output_tokens=5_000)
TERMS = Terms(
    max_requests=50_000, max_bytes=200_000_000, queue=UNCUT, creates_per_hour=2_000, window=86_400.0, at_once=16
)


@given(st.integers(1, 10**9))
def test_a_sample_scales_and_never_to_less_than_its_share(records: int) -> None:
    whole = scaled(SAMPLE, records)
    for count, of in ((whole.requests, 98), (whole.input_tokens, 10_000), (whole.output_tokens, 5_000)):
        assert of * records / 100 <= count + 1e-3 * count + 1e-6
        assert count <= of * records / 100 * (1 + 1e-9) + 1
    assert scaled(SAMPLE, 100) == SAMPLE
    assert scaled(Measured(0, 0, 0, 0, 0, 0), records).requests == 0


@given(st.integers(1, 10**7), st.integers(1, 50_000), st.integers(2_000, 10**8))
def test_batches_hold_what_they_are_to_hold(records: int, requests: int, size: int) -> None:
    terms = replace(TERMS, max_requests=requests, max_bytes=size)
    whole = scaled(SAMPLE, records)
    count = batches_of(whole, terms)
    assert (count - 1) * requests < whole.requests or (count - 1) * size < whole.bytes
    assert count * requests >= whole.requests
    assert count * size >= whole.bytes


def test_time_is_the_queues_the_creates_and_the_calls() -> None:
    whole = scaled(SAMPLE, 1_000_000)
    assert seconds_batched(whole, 20, TERMS) == 86_400
    assert seconds_batched(whole, 20, replace(TERMS, queue=Cut(max_bytes=100_000_000))) == 4 * 86_400
    assert seconds_batched(whole, 4_001, TERMS) == 86_400 + 2 * 3_600
    assert seconds_batched(scaled(SAMPLE, 1), 0, TERMS) == 0
    assert seconds_called(replace(SAMPLE, requests=32, output_tokens=32 * 60), TERMS) == 2 * 1.5
    assert seconds_called(replace(SAMPLE, requests=0), TERMS) == 0


def test_rows_become_sealed_lines_with_what_is_needed() -> None:
    stated = definition()
    read = row_reader(stated)
    lines = list(sealed_lines(stated, [b'{"review_id":"1","review":"x"}', b"", b'{"review":"y"}'], "rows.jsonl"))
    assert [read(line)["row"] for line in lines] == [
        {"review_id": "1", "review": "x"},
        {"review_id": None, "review": "y"},
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [(b"{", "no JSON"), (b"[1]", "a JSON object"), (b'{"other": 1}', "none of the columns review_id, review")],
)
def test_a_row_that_can_not_be_used_is_named_by_its_line(line: bytes, told: str) -> None:
    with pytest.raises(SettingsError, match=f"rows.jsonl, line 2: .*{told}"):
        list(sealed_lines(definition(), [b'{"review": "x"}', line], "rows.jsonl"))
