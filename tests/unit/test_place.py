"""Where a batch is published is kept once."""

from pathlib import Path

import pytest

from poller.place import Place, keep_place, read_place
from shared.errors import SpoolError


def test_a_place_is_kept_and_another_shard_of_its_cluster_is_refused(tmp_path: Path) -> None:
    assert read_place(tmp_path) is None
    first = Place(cluster="one", shard=3)
    for _ in range(2):
        keep_place(tmp_path, first)
    with pytest.raises(SpoolError, match="says shard 3, and the store says 5"):
        keep_place(tmp_path, Place(cluster="one", shard=5))
    keep_place(tmp_path, Place(cluster="a new cluster", shard=5))
    assert read_place(tmp_path) == first
