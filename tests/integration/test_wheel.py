"""The poller from a built wheel, alone: beside it nothing but what `pip install batchline` brings, and no Flink."""

import json
import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import State
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import read_topic
from tests.rig.processes import Processes
from tests.rig.results import SINK_TOPIC, sink
from tests.rig.stage import ENVIRON, Stage
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]
HEALTHY, WRONG, ATTENTION = 0, 2, 3


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def brought_by(wheel: Distribution) -> dict[str, Distribution]:
    """The distributions that an installation without extras brings, by name, each as it is installed here."""
    found: dict[str, Distribution] = {}
    asked = [(wheel, "")]
    while asked:
        one, extra = asked.pop()
        for requirement in map(Requirement, one.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            is_new = name not in found
            found.setdefault(name, distribution(name))
            asked += [(found[name], each) for each in (*(("",) if is_new else ()), *requirement.extras)]
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment's commands. What the wheel requires is linked there, file by file: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("batchline-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    run(*pip, "--python", folder / "venv/bin/python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    (metadata,) = packages.glob("batchline-*.dist-info")
    for name, each in brought_by(PathDistribution(metadata)).items():
        assert name not in ("apache-flink", "psycopg", "s3fs", "starlette")
        for file in each.files or ():
            link = packages / file
            if ".." not in file.parts and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(str(each.locate_file(file))))
    return folder / "venv/bin"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_it_brings_a_batch_to_its_sink(
    installed: Path,
    server: ProviderServer,
    broker: LocalBroker,
    make_topic: MakeTopic,
    processes: Processes,
    tmp_path: Path,
    provider: str,
) -> None:
    topic = make_topic("results", SINK_TOPIC)
    stage = Stage(server, tmp_path, provider, sink(broker, topic))
    environ = {
        **ENVIRON,
        "BATCHLINE_STATE_STORE": stage.store_url,
        "BATCHLINE_SPOOL": stage.spool_url,
        "BATCHLINE_BOOTSTRAP_SERVERS": broker.bootstrap,
        "BATCHLINE_BATCHES_TOPIC": f"batches-{topic}",
        "BATCHLINE_PROGRESS_TOPIC": f"progress-{topic}",
        "BATCHLINE_POLL_INTERVAL": "0.1",
        "PYTHONPATH": "",
    }

    def poller(*arguments: str) -> tuple[int, str]:
        child = processes.start("poller", [installed / "poller", *arguments], env=environ, cwd=tmp_path)
        return child.wait(120), child.log.read_text()

    def is_out() -> bool:
        code, said = poller("once")
        # On a busy machine a create may stay without its answer, which the next pass looks up.
        assert code in (HEALTHY, ATTENTION), said
        return stage.batch(key).state is State.PUBLISHED

    try:
        key = stage.plan(3)
        wait_until(is_out, 120, lambda: f"the batch to be out, it is {stage.batch(key)}")
        code, said = poller("status", "--json")
    finally:
        stage.close()
    assert code == HEALTHY, said
    assert [row["batches_published"] for row in json.loads(said)["pipelines"]] == [1]
    assert len(read_topic(broker.bootstrap, topic, at_least=3)) == 3


def test_its_commands_say_what_they_are_and_the_submitter_what_it_lacks(
    installed: Path, processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "pipeline.sql").write_text("SELECT 1;")
    for command, code, words in (
        (["poller", "--help"], HEALTHY, "once"),
        (["submitter", "--help"], HEALTHY, "run"),
        (["submitter", "check", "pipeline.sql"], WRONG, "pip install 'batchline[submitter]'"),
    ):
        name, *arguments = command
        child = processes.start(name, [installed / name, *arguments], env={"PYTHONPATH": ""}, cwd=tmp_path)
        assert child.wait(60) == code, child.tail()
        assert words in child.log.read_text()
