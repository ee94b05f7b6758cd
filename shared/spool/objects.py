"""The spool in an object store that speaks S3, through s3fs: credentials, region and endpoint are the AWS_* variables'.

An object is seen whole or not at all. There is no rename: a folder gets its place by copies, its manifest's last.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError
from s3fs import S3FileSystem

from shared.errors import SpoolAway, SpoolError
from shared.spool.homes import local_home
from shared.spool.port import Entry, check_address, check_size, is_address
from shared.spool.scratch import Scratch
from shared.telemetry import SECRETS

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[A-Za-z0-9!_.*'()=-]+)*)/?")
_WRITER = "batchline-writer"
"""Metadata of an object that is written once: who wrote it, where the answer to the write was lost."""
_PART = 8 << 20
_PARTS_AT_ONCE = 3
_CONFLICTS = 5
_TIMES = {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 2, "mode": "standard"}}
_TRIES = 3


class ObjectFiles:
    """The port over one prefix of a bucket."""

    tells_last_write = False
    listing_pace = 3.0

    def __init__(self, address: str) -> None:
        found = _ADDRESS.fullmatch(address)
        if found is None or any(part in (".", "..") for part in found["prefix"].split("/")):
            raise SpoolError("a spool in an object store is written s3://bucket/prefix, without keys: they are AWS_*'s")
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            SECRETS.name(name)
        self._bucket, self._prefix = found["bucket"], found["prefix"].strip("/")
        self.url = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        self._store = _store(tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))
        self._scratch = Scratch()

    def reach(self) -> None:
        with self._told(self.url):
            self._store.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=self._key(""), MaxKeys=1)

    def probe(self) -> None:
        address = f".batchline-probe-{uuid4().hex}"
        self.create(address, b"")
        try:
            if self.create(address, b""):
                raise SpoolError(f"{self.url} ignores If-None-Match: its store can't tell who writes a file first")
            if not self.entries("", address):
                raise SpoolError(f"{self.url} does not list what was just written")
        finally:
            self._delete(address)

    def read(self, address: str, most: int | None = None) -> bytes | None:
        if most is not None:
            check_size(address, self.size(address) or 0, most)
        with self._told(address):
            try:
                data: bytes = self._store.cat_file(self._path(address))
            except FileNotFoundError as error:
                self._absent(error)
                return None
            return data

    def create(self, address: str, data: bytes) -> bool:
        writer = uuid4().hex
        with self._told(address):
            for _ in range(_CONFLICTS):
                try:
                    self._call("put_object", address, Body=data, IfNoneMatch="*", Metadata={_WRITER: writer})
                except OSError as error:
                    # 409: the other write, or deletion, that was under way at the same moment is not over yet.
                    if _status(error) == 409:
                        continue
                    if _status(error) != 412:
                        raise
                    # An answer may have been lost, and the write been sent again.
                    return self._writer(address) == writer
                return True
        raise SpoolAway(f"{self.url}/{address} can't be written: others write it at the same moment; try again")

    def size(self, address: str) -> int | None:
        head = self._head(address)
        return None if head is None else int(head["ContentLength"])

    def entries(self, folder: str, prefix: str = "") -> list[Entry]:
        top = self._key(f"{folder}/" if folder else "")
        found = []
        for page in self._pages(top + prefix, Delimiter="/"):
            found += [Entry(self._address(each["Prefix"].rstrip("/")), is_folder=True) for each in page[0]]
            found += [self._entry(each) for each in page[1] if not _is_mark(each)]
        return [entry for entry in found if is_address(entry.address)]

    def find(self, folder: str) -> list[Entry]:
        found = [self._entry(each) for each in self._below(folder) if not _is_mark(each)]
        return [entry for entry in found if is_address(entry.address)]

    def delete(self, address: str) -> None:
        self._scratch.forget(address)
        for each in self._below(address):
            self._delete(self._address(each["Key"]))
        self._delete(address)

    def move(self, source: str, target: str, last: str) -> bool:
        if self.size(f"{target}/{last}") is not None:
            return True
        names = sorted(
            (entry.address.removeprefix(f"{source}/") for entry in self.find(source)), key=lambda name: name == last
        )
        if last not in names or not all(self._copy(f"{source}/{name}", f"{target}/{name}") for name in names):
            # Whoever came first has copied it, and deleted what it was copied from.
            return self.size(f"{target}/{last}") is not None
        for name in names:
            self._scratch.move(f"{source}/{name}", f"{target}/{name}")
            self._delete(f"{source}/{name}")
        return True

    @contextmanager
    def local(self, address: str) -> Iterator[Path]:
        def fetch(into: Path) -> None:
            with self._told(address):
                try:
                    self._store.get_file(self._path(address), str(into))
                except FileNotFoundError as error:
                    self._absent(error)
                    raise SpoolError(f"{address} is not there: restore it") from error

        self._key(address)
        with self._scratch.held(address, fetch) as path:
            yield path

    def work(self, folder: str) -> Path:
        self._key(folder)
        return self._scratch.work(folder)

    def keep(self, folder: str, names: list[str]) -> None:
        written = self._scratch.work(folder)
        for name in names:
            with self._told(f"{folder}/{name}"):
                self._store.put_file(
                    str(written / name),
                    self._path(f"{folder}/{name}"),
                    chunksize=_PART,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            self._scratch.take(folder, name)

    def home(self, folder: str) -> Path:
        self._key(folder)
        return local_home(self.url, folder)

    def _call(self, method: str, address: str, **arguments: Any) -> Any:
        return self._store.call_s3(method, Bucket=self._bucket, Key=self._key(address), **arguments)

    def _head(self, address: str) -> dict[str, Any] | None:
        with self._told(address):
            try:
                head: dict[str, Any] = self._call("head_object", address)
            except FileNotFoundError:
                return None
            return head

    def _writer(self, address: str) -> str | None:
        head = self._head(address)
        return head["Metadata"].get(_WRITER) if head else None

    def _copy(self, source: str, target: str) -> bool:
        """Copy within the store; False when there is nothing to copy any more."""
        with self._told(target):
            try:
                self._store.cp_file(self._path(source), self._path(target))
            except FileNotFoundError as error:
                self._absent(error)
                return False
        return True

    def _delete(self, address: str) -> None:
        with self._told(address):
            self._call("delete_object", address)

    def _below(self, folder: str) -> Iterator[dict[str, Any]]:
        for _, objects in self._pages(self._key(f"{folder}/")):
            yield from objects

    def _pages(self, prefix: str, **more: str) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        """The folders and the objects of each page of a listing."""
        token: dict[str, str] = {}
        while True:
            with self._told(prefix):
                page = self._store.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=prefix, **more, **token)
            yield page.get("CommonPrefixes", []), page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _entry(self, listed: dict[str, Any]) -> Entry:
        modified_at: datetime = listed["LastModified"]
        return Entry(self._address(listed["Key"]), int(listed["Size"]), modified_at)

    def _address(self, key: str) -> str:
        return key.removeprefix(f"{self._prefix}/" if self._prefix else "")

    def _key(self, address: str) -> str:
        check_address(address)
        return f"{self._prefix}/{address}" if self._prefix else address

    def _path(self, address: str) -> str:
        return f"{self._bucket}/{self._key(address)}"

    def _absent(self, error: FileNotFoundError) -> None:
        """Raise what was said of an object that is not there, if it is the bucket that isn't."""
        if "NoSuchBucket" in str(error.__cause__):
            raise error

    @contextmanager
    def _told(self, address: str) -> Iterator[None]:
        try:
            yield
        except SpoolError:
            raise
        except (OSError, BotoCoreError) as error:
            said = str(error) or type(error).__name__
            raise SpoolAway(SECRETS.redact(f"{self.url} can't be reached, at '{address}': {said}")) from error


def _is_mark(listed: dict[str, Any]) -> bool:
    """Whether it is what Flink's plugin writes to have a folder, which is no file."""
    return str(listed["Key"]).endswith("/")


@cache
def _store(_environment: tuple[tuple[str, str], ...]) -> Any:
    """One client for all that is in a store, as long as the variables say the same."""
    # A listing that is remembered would hide what another process has written.
    made = S3FileSystem(use_listings_cache=False, skip_instance_cache=True, max_concurrency=1, config_kwargs=_TIMES)
    made.retries = _TRIES
    return made


def _status(error: BaseException) -> int:
    response: Any = getattr(error.__cause__, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
