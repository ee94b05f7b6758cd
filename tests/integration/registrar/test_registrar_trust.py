"""What lies in the topic and in the spool may be written by others: what is not ours is skipped, and never believed."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from deploy.sandbox.broker import LocalBroker
from poller.register.registrar import Drained
from poller.register.sinks import SinkClusters
from shared.errors import SpoolError
from shared.kafka import KafkaClusters
from shared.manifest import Manifest
from shared.store import Store
from shared.trust import vouching
from tests.rig.registering import announce, event_of, produce, registrar
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

PROCESSING_SECONDS = 0.3

HOSTILE: dict[str, Callable[[Stage, str], tuple[bytes | None, bytes | None]]] = {
    "no JSON": lambda _, key: (key.encode(), b"\xff\x00 nonsense"),
    "no object": lambda _, key: (key.encode(), b"[1,2]"),
    "huge": lambda _, key: (key.encode(), b'{"a":"' + b"x" * 200_000 + b'"}'),
    "tombstone": lambda _, key: (key.encode(), None),
    "no key": lambda stage, key: (None, event_of(stage, key).encode()),
    "another's key": lambda stage, key: (b"other", event_of(stage, key).encode()),
    "a path in the pipeline": lambda stage, key: _said(stage, key, pipeline="../../etc"),
    "a path in the statement": lambda stage, key: _said(stage, key, statement="a/b"),
    "a foreign spool": lambda stage, key: _said(stage, key, spool="/etc/passwd"),
    "an address in the id": lambda stage, key: _said(stage, key, provider_batch_id="../../files?x=1"),
    "another account": lambda stage, key: _said(stage, key, account="openai:KEY@evil.example"),
    "another count": lambda stage, key: _said(stage, key, records=1_000_000),
    "another batch of the provider": lambda stage, key: _said(stage, key, provider_batch_id="batch_of_another"),
    "the beginning of time": lambda stage, key: _said(
        stage, key, submitted_at=datetime.fromisoformat("0001-01-01T00:00:00+14:00")
    ),
    "a name that no file can have": lambda stage, key: _long(stage, key + "a" * 5000),
    "a number without end": lambda stage, key: _long(stage, key[:27] + "9" * 5000),
    "another pipeline": lambda stage, key: _said(
        stage, key, pipeline="unknown", spool=f"unknown/sentiments/batches/{key}"
    ),
    "a file where a folder would be": lambda stage, key: _beside(stage, key, "run.lock", Path.touch),
    "a pipe for a manifest": lambda stage, key: _beside(stage, key, f"piped/batches/{key}/manifest.json", os.mkfifo),
    "a folder for a manifest": lambda stage, key: _beside(
        stage, key, f"folder/batches/{key}/manifest.json", Path.mkdir
    ),
    "a manifest of terabytes": lambda stage, key: _beside(stage, key, f"vast/batches/{key}/manifest.json", _vast),
    "a later version without our fields": lambda _, key: (key.encode(), orjson.dumps({"version": 2, "batch_key": key})),
}


def _said(stage: Stage, key: str, **changes: Any) -> tuple[bytes, bytes]:
    return key.encode(), event_of(stage, key, **changes).encode()


def _beside(stage: Stage, key: str, address: str, make: Callable[[Path], object]) -> tuple[bytes, bytes]:
    """An event of a statement in whose folder somebody has made something."""
    path = stage.path(f"pipe/{address}")
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    statement = address.partition("/")[0]
    return _said(stage, key, statement=statement, spool=f"pipe/{statement}/batches/{key}")


def _vast(path: Path) -> None:
    """It takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(1 << 42)


def _long(stage: Stage, key: str) -> tuple[bytes, bytes]:
    """An event that is right in itself, of a batch whose key has too many letters."""
    letters = len(key) - len(key.rstrip("a"))
    source = stage.store.batches.rows()[0].batch_key
    event = event_of(stage, source, batch_key=key, generation=letters, spool=f"pipe/sentiments/batches/{key}")
    return key.encode(), event.encode()


def test_hostile_foreign_and_malformed_events_are_counted_and_skipped(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store
) -> None:
    key = stage.submit()
    produce(broker, topic, *(make(stage, key) for make in HOSTILE.values()))
    duty = registrar(stage, broker, topic, forgetful)
    assert Drained(duty).run_once() == {"skipped": len(HOSTILE)}
    assert forgetful.batches.rows() == []
    announce(broker, topic, event_of(stage, key))
    wait_until(lambda: duty.run_once().get("registered") == 1)
    duty.close()


@pytest.mark.parametrize(
    ("address", "servers"),
    [("http://evil.example:9/v1", None), (None, "evil.example:9092"), ("https://a\\\\@b/v1", None)],
)
def test_a_manifest_that_names_a_foreign_address_is_not_believed(
    stage: Stage, broker: LocalBroker, topic: str, forgetful: Store, address: str | None, servers: str | None
) -> None:
    key = stage.submit()
    path = stage.path(stage.spool.batch("pipe", "sentiments", key)) / "manifest.json"
    written = orjson.loads(path.read_bytes())
    if address:
        written["definition"]["model"]["base_url"] = address
    else:
        written["definition"]["sink"]["bootstrap_servers"] = servers
    path.write_bytes(orjson.dumps(written))
    account = Manifest.model_validate(written).definition.model.account
    announce(broker, topic, event_of(stage, key, account=account))
    duty = registrar(stage, broker, topic, forgetful)
    assert Drained(duty).run_once() == {"skipped": 1}
    assert forgetful.batches.rows() == []
    duty.close()


def test_what_the_operator_names_by_a_flag_is_believed_as_its_variable_is(
    stage: Stage, broker: LocalBroker, topic: str
) -> None:
    key = stage.submit()
    path = stage.path(stage.spool.batch("pipe", "sentiments", key)) / "manifest.json"
    written = orjson.loads(path.read_bytes())
    written["definition"]["sink"]["bootstrap_servers"] = "far.example:9092"
    path.write_bytes(orjson.dumps(written))
    announce(broker, topic, event_of(stage, key))
    for environ in (vouching({}, "far.example:9092"), {"BATCHLINE_BOOTSTRAP_SERVERS": "far.example:9092"}):
        with Store.open(f"sqlite:///{stage.folder / uuid4().hex}.db") as store:
            duty = registrar(stage, broker, topic, store, environ, SinkClusters(KafkaClusters(), lambda _: "far"))
            assert Drained(duty).run_once()["registered"] == 1
            duty.close()


def test_a_known_batch_is_not_sent_by_a_manifest_that_was_changed(stage: Stage) -> None:
    key = stage.plan()
    submission = stage.submission()
    path = stage.path(stage.spool.batch("pipe", "sentiments", key)) / "manifest.json"
    written = orjson.loads(path.read_bytes())
    written["definition"]["model"]["base_url"] = stage.server.openai_base_url + "/elsewhere"
    path.write_bytes(orjson.dumps(written))
    with pytest.raises(SpoolError, match="another definition"):
        submission.work(key)
    assert stage.server.witness().custom_ids()[f"{key}-0"] == 0
