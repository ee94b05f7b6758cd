"""`python -m deploy.sandbox`: it tells the environment, leads both clients there, and stops when told."""

import json
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_it_is_told_to_stop(processes: Processes, tmp_path: Path, number: signal.Signals) -> None:
    topics = ["--topic", "reviews", "--topic", "out"]
    command = [sys.executable, "-m", "deploy.sandbox", "--directory", str(tmp_path), *topics]
    sandbox = processes.start("sandbox", command, cwd=ROOT)
    wait_until(lambda: "ready" in sandbox.tail() or not sandbox.running, 60, sandbox.tail)
    exported = [line.removeprefix("export ").split("=", 1) for line in sandbox.tail().splitlines() if "export" in line]
    environment = dict(exported)
    broker = AdminClient({"bootstrap.servers": environment["BATCHLINE_BOOTSTRAP_SERVERS"]})
    assert {"reviews", "out"} <= broker.list_topics(timeout=10).topics.keys()
    listing = urllib.request.Request(  # noqa: S310 - loopback
        f"{environment['OPENAI_BASE_URL']}/batches",
        headers={"Authorization": f"Bearer {environment['OPENAI_API_KEY']}"},
    )
    with urllib.request.urlopen(listing, timeout=10) as answer:  # noqa: S310 - loopback
        assert json.load(answer)["data"] == []
    sandbox.signal(number)
    assert sandbox.wait(30) == 0
