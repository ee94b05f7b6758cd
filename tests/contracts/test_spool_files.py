"""What a folder and an object store both do as the spool's files; `other` stands for another process."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from urllib.parse import unquote, urlsplit

import pytest

from shared.errors import SpoolAway, SpoolError
from shared.spool import Files, open_files
from tests.rig.objects import ObjectStore

LARGE = 20 << 20
"""More than one part of an upload."""
WRONG = "leads out|is none that a file can have"
Open = Callable[[], Files]


@pytest.fixture(params=["folder", "store"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the files below one new address, each time as a process of its own does."""
    address = tmp_path.as_uri()
    if request.param == "store":
        store: ObjectStore = request.getfixturevalue("object_store")
        address = f"s3://{store.bucket()}/some/prefix"
    return lambda: open_files(address)


@pytest.fixture
def files(opened: Open) -> Files:
    return opened()


@pytest.fixture
def other(opened: Open) -> Files:
    return opened()


def written(files: Files, folder: str, **contents: bytes) -> None:
    """Write files, and keep them."""
    work = files.work(folder)
    for name, data in contents.items():
        (work / name).write_bytes(data)
    files.keep(folder, list(contents))


def content(files: Files, address: str) -> bytes:
    with files.local(address) as path:
        return path.read_bytes()


def test_what_is_created_is_read_back_by_everybody(files: Files, other: Files) -> None:
    assert files.read("a/b.json") is None
    assert files.size("a/b.json") is None
    assert files.create("a/b.json", b"content")
    assert other.read("a/b.json") == b"content"
    assert other.size("a/b.json") == 7
    assert content(other, "a/b.json") == b"content"


def test_a_file_that_is_larger_than_it_may_be_is_not_read(files: Files) -> None:
    files.create("a/b.json", b"content")
    assert files.read("a/b.json", 7) == b"content"
    assert files.read("a/c.json", 7) is None
    with pytest.raises(SpoolError, match="has 7 bytes, and such a file has 6 at most"):
        files.read("a/b.json", 6)


def test_nothing_is_below_a_file(files: Files) -> None:
    """A strange address must not be taken for a spool that is away."""
    files.create("a/b", b"content")
    assert files.read("a/b/c/d.json") is None
    assert files.size("a/b/c/d.json") is None


def test_a_file_is_created_once_whoever_comes_first(opened: Open) -> None:
    barrier = Barrier(8)

    def create(number: int) -> bool:
        files = opened()
        barrier.wait()
        return files.create("a/once", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert opened().read("a/once") == str(won.index(True)).encode()
    assert not opened().create("a/once", b"later")


def test_listings_name_what_stands_there_now(files: Files, other: Files) -> None:
    assert files.entries("top") == []
    assert files.find("top") == []
    for address in ("top/one", "top/sub/two", "top/sub/deep/three", "topping/four"):
        assert files.create(address, address.encode())
    found = sorted(other.entries("top"), key=lambda entry: entry.name)
    assert [(entry.address, entry.is_folder) for entry in found] == [("top/one", False), ("top/sub", True)]
    assert found[0].size == len("top/one")
    assert found[0].modified_at is not None
    assert [entry.name for entry in other.entries("top", "su")] == ["sub"]
    assert {entry.name for entry in other.entries("")} >= {"top", "topping"}
    below = {entry.address for entry in other.find("top")}
    assert below == {"top/one", "top/sub/two", "top/sub/deep/three"}
    assert files.create("top/five", b"")
    assert "five" in {entry.name for entry in other.entries("top")}


def test_a_listing_is_whole_beyond_one_page(files: Files) -> None:
    names = {f"n{number:04}" for number in range(1020)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: files.create(f"many/{name}", b""), names))
    assert {entry.name for entry in files.entries("many")} == names
    assert len(files.find("many")) == len(names)


def test_what_is_deleted_is_gone_with_all_below_it(files: Files, other: Files) -> None:
    for address in ("a/one", "a/sub/two", "ab/three"):
        files.create(address, b"x")
    assert content(files, "a/one") == b"x"
    other.delete("a/sub/two")
    assert files.read("a/sub/two") is None
    files.delete("a")
    files.delete("a")
    assert other.find("a") == []
    assert other.read("ab/three") == b"x"
    with pytest.raises(SpoolError, match="is not there"):
        content(files, "a/one")


BAD = ["../x", "/etc/passwd", "a/../../x", "a/..", "a//b", "a\0b", "a\nb", "long" * 64, "a/" * 500, "\udcff\ud800"]


@pytest.mark.parametrize("address", BAD)
def test_an_address_that_leads_outside_or_nowhere_is_refused(files: Files, address: str) -> None:
    for use in (files.read, files.size, files.delete, files.work, files.home, lambda at: files.create(at, b"")):
        with pytest.raises(SpoolError, match=WRONG):
            use(address)
    with pytest.raises(SpoolError, match=WRONG):
        content(files, address)


def test_what_is_written_aside_is_there_for_all_once_it_is_kept(files: Files, other: Files) -> None:
    data = b"0123456789abcdef" * (LARGE // 16) + b"end"
    work = files.work("batch")
    (work / "requests.jsonl").write_bytes(data)
    (work / "manifest.json").write_bytes(b"{}")
    files.keep("batch", ["requests.jsonl", "manifest.json"])
    for reader in (files, other):
        assert reader.size("batch/requests.jsonl") == len(data)
        with reader.local("batch/requests.jsonl") as path, path.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(data).digest()
    assert {entry.name for entry in other.entries("batch")} == {"requests.jsonl", "manifest.json"}


def test_a_folder_gets_its_place_once_whoever_comes_first(opened: Open) -> None:
    written(opened(), "batches/.plan/batch", body=b"rows", last=b"{}")
    barrier = Barrier(4)

    def move(_: int) -> bool:
        files = opened()
        barrier.wait()
        return files.move("batches/.plan/batch", "batches/batch", "last")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(move, range(4))) == [True] * 4
    files = opened()
    assert content(files, "batches/batch/body") == b"rows"
    assert files.read("batches/batch/last") == b"{}"
    assert files.find("batches/.plan") == []
    assert files.move("batches/.plan/batch", "batches/batch", "last")


def test_a_folder_in_its_place_stays_as_it_is(files: Files) -> None:
    written(files, "batches/batch", body=b"first", last=b"{}")
    written(files, "batches/.plan/batch", body=b"second", last=b"{}")
    assert files.move("batches/.plan/batch", "batches/batch", "last")
    assert content(files, "batches/batch/body") == b"first"


def test_a_folder_that_is_nowhere_is_not_moved(files: Files) -> None:
    files.create("batches/another/last", b"{}")
    assert not files.move("batches/.plan/batch", "batches/batch", "last")
    assert files.find("batches/batch") == []


def test_a_home_is_local_and_private_to_its_spool(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    home = files.home("pipe/log")
    (home / "flink.log").write_text("a line")
    assert files.home("pipe/log") == home
    assert home.is_relative_to(tmp_path)
    assert home.stat().st_mode & 0o077 == 0


def test_a_root_that_is_not_there_is_told(files: Files, object_store: ObjectStore, tmp_path: Path) -> None:
    files.reach()
    for address in ((tmp_path / "unmounted").as_uri(), f"s3://{object_store.bucket()}-gone/prefix"):
        with pytest.raises(SpoolAway, match=r"can't be reached|is not there"):
            open_files(address).reach()


def test_what_a_stranger_named_is_left_out_of_listings(files: Files, request: pytest.FixtureRequest) -> None:
    files.create("top/ours", b"x")
    if files.url.startswith("file:"):
        top = Path(unquote(urlsplit(files.url).path), "top")
        (top / "a\nb").write_bytes(b"")
        (top / "ring").symlink_to("ring")
        (top / "out").symlink_to("/etc")
    else:
        store: ObjectStore = request.getfixturevalue("object_store")
        bucket, _, prefix = files.url.removeprefix("s3://").partition("/")
        store.client.put_object(Bucket=bucket, Key=f"{prefix}/top/{'long' * 64}", Body=b"")
    assert [entry.name for entry in files.entries("top")] == ["ours"]
    assert [entry.name for entry in files.find("top")] == ["ours"]
