"""What only an object store can do to the spool: lose an answer, be away, be another one than was meant."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.sandbox.ports import free_ports
from shared.errors import SpoolAway, SpoolError
from shared.spool import open_files
from tests.rig.objects import SECRET, ObjectStore


def test_who_wrote_it_is_told_though_the_answer_to_the_write_was_lost(object_store: ObjectStore) -> None:
    files = open_files(f"s3://{object_store.bucket()}/spool")
    object_store.lose_an_answer()
    assert files.create("intent.json", b"mine")
    object_store.lose_an_answer()
    assert not files.create("intent.json", b"mine")
    assert files.read("intent.json") == b"mine"


def test_a_write_beside_another_that_is_under_way_is_made_again(object_store: ObjectStore) -> None:
    files = open_files(f"s3://{object_store.bucket()}")
    object_store.clash()
    assert files.create("intent.json", b"mine")


def test_copies_that_were_cut_short_are_made_again(object_store: ObjectStore) -> None:
    files = open_files(f"s3://{object_store.bucket()}")
    for name in ("body", "last"):
        files.create(f"attempt/batch/{name}", name.encode())
    # A process that died after the first of its copies.
    files.create("batches/batch/body", b"body")
    assert files.move("attempt/batch", "batches/batch", "last")
    assert files.read("batches/batch/last") == b"last"
    # Another one that died before it removed what it had copied.
    files.create("attempt/batch/body", b"body")
    assert files.move("attempt/batch", "batches/batch", "last")


def test_what_stands_for_a_folder_is_no_file(object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    files = open_files(f"s3://{bucket}/spool")
    files.create("chk-1/_metadata", b"")
    object_store.client.put_object(Bucket=bucket, Key="spool/chk-1/", Body=b"")
    assert [entry.name for entry in files.entries("chk-1")] == ["_metadata"]
    assert [entry.name for entry in files.find("chk-1")] == ["_metadata"]
    files.delete("chk-1")
    assert object_store.keys(bucket) == []


def test_a_store_that_is_away_is_told_without_its_keys(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_ports(1)[0]}")
    files = open_files(f"s3://{object_store.bucket()}/spool")
    uses = (files.reach, lambda: files.read("a"), lambda: files.create("a", b""), lambda: files.entries("a"))
    for use in uses:
        with pytest.raises(SpoolAway, match="can't be reached") as told:
            use()
        assert SECRET not in str(told.value)


def test_a_bucket_that_is_not_there_is_no_empty_one(object_store: ObjectStore) -> None:
    files = open_files(f"s3://{object_store.bucket()}-gone/spool")
    for use in (lambda: files.read("a"), lambda: files.create("a", b""), lambda: files.entries("a")):
        with pytest.raises(SpoolAway, match="bucket"):
            use()


def test_keys_that_are_missing_are_told(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(SpoolAway, match=r"[Cc]redentials"):
        open_files(f"s3://{object_store.bucket()}").reach()


def test_a_probe_leaves_nothing_behind(object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    open_files(f"s3://{bucket}/spool").probe()
    assert object_store.keys(bucket) == []


def test_a_store_that_knows_no_conditions_is_refused(object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    with object_store.taking_no_notice(), pytest.raises(SpoolError, match="ignores If-None-Match"):
        open_files(f"s3://{bucket}/spool").probe()
    assert object_store.keys(bucket) == []


def test_what_is_to_be_installed_is_told() -> None:
    code = "import sys; sys.modules['s3fs'] = None; from shared.spool import Spool; Spool('s3://bucket/spool')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'batchline[s3]'" in done.stderr


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3:///prefix", "s3://AKIA123:secretsecret@bucket/x", "s3://bucket/../x", "s3://bucket/a?b=c", "s3://B"],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(SpoolError, match="s3://bucket/prefix") as told:
        open_files(address)
    assert "secretsecret" not in str(told.value)


def test_a_folder_as_spool_loads_nothing_that_speaks_to_a_store(tmp_path: Path) -> None:
    code = (
        "import sys; from poller.wiring import assembled; from shared.spool import Spool;"
        f"Spool({tmp_path.as_uri()!r}).files.reach();"
        "print([name for name in sys.modules if name.split('.')[0] in ('s3fs', 'aiobotocore', 'botocore', 'fsspec')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
