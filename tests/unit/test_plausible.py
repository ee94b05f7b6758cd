"""A manifest whose numbers can't be true is refused before anything is made as large as they say."""

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.errors import SpoolError
from shared.keys import batch_key
from shared.manifest import LARGEST, Manifest
from shared.spool import MANIFEST, Spool
from tests.rig import samples

KEY = batch_key("pipe", "sentiments", "file", 0)
HUGE = 10**18


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(f"file://{tmp_path}/spool")


def write(spool: Spool, **changes: Any) -> None:
    manifest = Manifest(
        batch_key=KEY,
        pipeline="pipe",
        statement="sentiments",
        generation=0,
        definition=samples.definition(),
        sealed_file="pipe/sentiments/sealed/file",
        sealed_at=datetime(2026, 6, 1, tzinfo=UTC),
        start=0,
        end=1000,
        runs=((4, "request"), (2, "elsewhere"), (6, "request")),
        requests=10,
        records=10,
        bytes=500,
        sha256="",
    )
    written = {**json.loads(manifest.model_dump_json()), **changes}
    folder = spool.files.work(spool.batch("pipe", "sentiments", KEY))
    (folder / MANIFEST).write_text(json.dumps(written))


def test_what_can_be_true_is_read(spool: Spool) -> None:
    write(spool)
    assert spool.manifest("pipe", "sentiments", KEY).records == 10
    write(spool, packs=[[2, 3], [1, 4]], requests=3)
    assert spool.manifest("pipe", "sentiments", KEY).packing.records == 10


def test_what_earlier_versions_wrote_is_read(spool: Spool) -> None:
    """They said how many records a request has at most, too."""
    write(spool)
    now = spool.manifest("pipe", "sentiments", KEY)
    write(spool, pack=20)
    assert spool.manifest("pipe", "sentiments", KEY) == now


def test_a_file_that_is_larger_than_any_manifest_is_not_read(spool: Spool, tmp_path: Path) -> None:
    write(spool)
    path = tmp_path / "spool" / spool.batch("pipe", "sentiments", KEY) / MANIFEST
    with path.open("ab") as file:
        file.truncate(LARGEST)
    with pytest.raises(SpoolError, match="is damaged"):
        spool.manifest("pipe", "sentiments", KEY)
    with path.open("ab") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(SpoolError, match=r"has 67,108,865 bytes, and such a file has 67,108,864 at most"):
        spool.manifest("pipe", "sentiments", KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"runs": [[HUGE, "request"]], "requests": HUGE, "records": HUGE},
        {"runs": [[HUGE, "request"]], "requests": HUGE, "records": HUGE, "end": HUGE * 4},
        {"runs": [[10**30, "elsewhere"]]},
        {"runs": [[-1, "request"], [11, "request"]]},
        {"runs": [[1, "request"]] * 400},
        {"requests": HUGE},
        {"requests": 10**30},
        {"requests": -1},
        {"records": HUGE},
        {"records": 11},
        {"bytes": HUGE},
        {"bytes": -1},
        {"start": -1},
        {"start": 2000},
        {"end": 10**30},
        {"generation": HUGE},
        {"packs": [[HUGE, 1]], "requests": 10},
        {"packs": [[1, HUGE]], "requests": 1},
        {"packs": [[10, 0]], "requests": 10},
        {"packs": [[-10, -1]], "requests": 10},
    ],
)
def test_what_can_not_is_refused_with_a_word_and_without_memory(spool: Spool, changes: dict[str, Any]) -> None:
    write(spool, **changes)
    tracemalloc.start()
    try:
        with pytest.raises(SpoolError, match=rf"{KEY}/manifest\.json (can't be true: it tells of|is damaged)"):
            spool.manifest("pipe", "sentiments", KEY)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
