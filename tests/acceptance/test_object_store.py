"""The whole road over a spool in an object store, with the real commands, killed in the middle."""

import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import KEYS, START_SECONDS, Road
from tests.rig.objects import SECRET, ObjectStore
from tests.rig.waiting import wait_until

WAVE = 120
METADATA, TAIL = "/_metadata", "_tmp_"
"""In the names of complete checkpoints, and of what is kept of a file in progress that is no part of its upload yet."""


@pytest.fixture
def bucket(object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return object_store.bucket()


@pytest.mark.timeout(900)
def test_a_spool_in_a_store_keeps_the_promise_through_kills(
    make_road: MakeRoad, object_store: ObjectStore, bucket: str
) -> None:
    road: Road = make_road(bounded=False, spool=f"s3://{bucket}/batchline/spool")
    sql = road.write(road.model(**{"batch.max-age": "10 s"}), road.insert())
    submitter, poller = road.submitter(sql), road.poller()

    def stored(part: str) -> set[str]:
        return {key for key in object_store.keys(bucket) if part in key}

    wait_until(lambda: stored(METADATA), START_SECONDS, "a checkpoint")
    road.produce([f"review {number}" for number in range(WAVE)])
    wait_until(lambda: stored(TAIL), START_SECONDS, "a file in progress")
    earlier = stored(METADATA)
    wait_until(lambda: stored(METADATA) - earlier, START_SECONDS, "a checkpoint that knows of it")
    begun = object_store.uploads(bucket)
    submitter.kill()
    road.produce([f"later review {number}" for number in range(WAVE)])
    submitter = road.submitter(sql)
    road.wait_for(20)
    poller.kill()
    poller = road.poller()
    road.wait_for(len(road.produced))
    submitter.signal(signal.SIGTERM)
    assert submitter.wait(60) == 0, submitter.tail()
    assert "continues from checkpoint s3://" in submitter.tail(100)
    assert poller.terminate() == 0
    road.check()
    assert begun & stored("/sealed/"), "a file that a run began, and the next one finished"
    assert not (road.folder / "spool").exists()
    assert road.secrets() == []
    _assert_nowhere(SECRET, road.folder, object_store, bucket)
    for key in KEYS.values():
        _assert_nowhere(key, road.folder, object_store, bucket)


def _assert_nowhere(secret: str, folder: Path, store: ObjectStore, bucket: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert files == []
    keys = store.keys(bucket)
    assert keys
    assert [key for key in keys if secret.encode() in store.content(bucket, key)] == []
