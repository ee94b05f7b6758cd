"""An object store of the tests' own, on loopback, and what a process needs to know to reach it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import botocore.session
import httpx2
import pytest

from deploy.sandbox.child import Child
from deploy.sandbox.ports import free_ports
from deploy.sandbox.waiting import wait_until
from tests.rig.object_server import CLASH, DEAF, HEED, LOSE

SECRET = "secret-of-the-object-store-0451"


class ObjectStore:
    """A running S3 server; each test takes a bucket of its own."""

    def __init__(self, folder: Path) -> None:
        self._port = free_ports(1)[0]
        self.environ = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        argv = [sys.executable, "-m", "tests.rig.object_server", str(self._port)]
        self._server = Child(argv, log=folder / "objects.log", cwd=Path(__file__).parents[2])
        self.client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.environ["AWS_ENDPOINT_URL_S3"],
            region_name="us-east-1",
            aws_access_key_id="tester",
            aws_secret_access_key=SECRET,
        )
        wait_until(self._answers, 30, "the object store's first answer")

    def bucket(self) -> str:
        """A new, empty bucket; its name."""
        name = f"bucket-{uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Every object of a bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def uploads(self, bucket: str) -> set[str]:
        """The objects whose uploads are begun, and not completed."""
        found = self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return {upload["Key"] for upload in found}

    def content(self, bucket: str, key: str) -> bytes:
        """An object."""
        found: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return found

    def lose_an_answer(self) -> None:
        """The next write with a condition takes effect, and is answered by a 500."""
        self._post(LOSE)

    def clash(self) -> None:
        """The next write with a condition is answered by a 409: another one is under way."""
        self._post(CLASH)

    @contextmanager
    def taking_no_notice(self) -> Iterator[None]:
        """While the block lasts, conditions of writes are of no effect, as in a store that doesn't know them."""
        self._post(DEAF)
        try:
            yield
        finally:
            self._post(HEED)

    def close(self) -> None:
        self._server.terminate()

    def _post(self, path: str) -> None:
        httpx2.post(self.environ["AWS_ENDPOINT_URL_S3"] + path).raise_for_status()

    def _answers(self) -> bool:
        try:
            self.client.list_buckets()
        except Exception:  # noqa: BLE001 whatever keeps it from answering, it is not up yet
            assert self._server.running, self._server.tail()
            return False
        return True


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A running object store for all tests of the run."""
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    yield store
    store.close()


@pytest.fixture
def object_store(object_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The object store, which this process and those that it starts reach by their environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in object_server.environ.items():
        monkeypatch.setenv(name, value)
    return object_server
