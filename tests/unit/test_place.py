"""Where a batch is published is kept once."""

from pathlib import Path

import pytest

from poller.register.place import Place, keep_place, read_place
from shared.errors import SpoolError
from shared.spool import open_files


def test_a_place_is_kept_and_another_shard_of_its_cluster_is_refused(tmp_path: Path) -> None:
    files = open_files(tmp_path.as_uri())
    assert read_place(files, "batch") is None
    first = Place(cluster="one", shard=3)
    for _ in range(2):
        keep_place(files, "batch", first)
    with pytest.raises(SpoolError, match="says shard 3, and the store says 5"):
        keep_place(files, "batch", Place(cluster="one", shard=5))
    keep_place(files, "batch", Place(cluster="a new cluster", shard=5))
    assert read_place(files, "batch") == first
