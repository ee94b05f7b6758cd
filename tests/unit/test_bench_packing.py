"""What the bench of packed prompts makes of what it has seen."""

import pytest

from tests.bench.packing.measured import Measured, extrapolated
from tests.bench.packing.table import markdown
from tests.bench.packing.ways import SHORT, WAYS, Place, Way, script

SLICE = Measured(
    name="one call a record",
    records=400,
    calls=404,
    seconds=30.0,
    asking=20.0,
    input_tokens=8_000,
    output_tokens=800,
    errors=2,
    usd=0.04,
)


def test_what_grows_with_the_records_is_scaled_and_the_start_is_not() -> None:
    whole = extrapolated(SLICE, 10_000)
    assert (whole.calls, whole.errors, whole.input_tokens, whole.output_tokens) == (10_100, 50, 200_000, 20_000)
    assert whole.seconds == pytest.approx(510.0)
    assert whole.usd == pytest.approx(1.0)


def test_an_extrapolated_way_says_so_and_shares_are_of_the_first_way_s_cost() -> None:
    told = markdown([extrapolated(SLICE, 10_000), SLICE], "here")
    assert "| one call a record¹ | 10,100 | 510 s | 200,000 | 20,000 | $1.000 | 100 % | 50 |" in told
    assert "| one call a record | 404 | 30 s | 8,000 | 800 | $0.040 | 4 % | 2 |" in told
    assert told.endswith("¹ Extrapolated from 400 records, asked at 20 a second. here")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_only_batchline_s_files_name_what_only_batchline_knows(way: Way) -> None:
    text = ";".join(script(way, Place("broker", "http://here", "file:///spool", "sqlite:////db"), SHORT + " It's."))
    assert "It''s." in text
    assert ("batch" in text) != way.is_flinks_own
