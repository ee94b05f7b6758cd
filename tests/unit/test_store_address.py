from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from shared.errors import SettingsError
from shared.store.address import mount_type, parse, shown
from shared.store.columns import UtcTime, utc
from shared.store.intervals import joined, overlapping

MOUNTS = """overlay / overlay rw 0 0
server:/export /mnt/shared nfs4 rw 0 0
/dev/sdb1 /mnt/shared/local ext4 rw 0 0
//nas/x /mnt/with\\040space cifs rw 0 0
"""
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=9))])
# Away from the calendar's ends, where another zone has no name for a moment.
AWARE = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)  # noqa: DTZ001 - the zone is drawn apart
RUN = st.tuples(st.integers(0, 30), st.integers(1, 5)).map(lambda run: (run[0], run[0] + run[1]))


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////var/lib/batchline/state.db", "sqlite+pysqlite"),
        ("sqlite:///state.db", "sqlite+pysqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg"),
    ],
)
def test_an_address_gets_the_driver_that_we_speak(url: str, driver: str) -> None:
    assert parse(url).drivername == driver


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://root:hunter2@h/d", "state.db", "hunter2"])
def test_an_address_that_cant_be_used_is_told_without_its_secrets(url: str) -> None:
    with pytest.raises(SettingsError, match="give sqlite:////path/to/state") as told:
        parse(url)
    assert "hunter2" not in str(told.value)


def test_an_address_is_shown_without_password_and_options() -> None:
    assert shown(parse("postgresql://u:hunter2@h/d?sslpassword=hunter2")) == "postgresql+psycopg://u:***@h/d"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/state.db", "overlay"),
        ("/mnt/shared/state.db", "nfs4"),
        ("/mnt/shared/local/state.db", "ext4"),
        ("/mnt/shared2/state.db", "overlay"),
        ("/mnt/with space/state.db", "cifs"),
    ],
)
def test_the_nearest_mount_decides(path: str, kind: str) -> None:
    assert mount_type(Path(path), MOUNTS) == kind
    assert mount_type(Path(path), "") == ""


@given(AWARE, AWARE)
def test_stored_times_sort_as_times_and_come_back(one: datetime, two: datetime) -> None:
    first, second = (UtcTime().process_bind_param(value, sqlite.dialect()) for value in (one, two))
    assert (first < second) == (utc(first) < utc(second))
    assert len(first) == len(second) == len("2026-03-01T12:00:00.000000Z")
    assert utc(first) == one


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        UtcTime().process_bind_param(datetime(2026, 3, 1), sqlite.dialect())  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="no time zone"):
        utc("2026-03-01 12:00:00")


@given(st.lists(RUN, max_size=8), st.lists(RUN, max_size=8))
def test_runs_are_sets_of_offsets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    one, two = _disjoint(left), _disjoint(right)
    assert _offsets(joined(one)) == _offsets(one)
    assert all(end < start for (_, end), (start, _) in zip(joined(one), joined(one)[1:], strict=False))
    common = overlapping(joined(one), joined(two))
    both = _offsets(one) & _offsets(two)
    assert (common is None) == (not both)
    if common:
        assert set(range(*common)) <= both
        assert min(both) == common[0]


def _disjoint(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for run in runs:
        if not _offsets(kept) & set(range(*run)):
            kept.append(run)
    return kept


def _offsets(runs: list[tuple[int, int]]) -> set[int]:
    return {offset for run in runs for offset in range(*run)}
