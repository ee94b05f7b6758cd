"""What every test finds: the rig's fixtures, hypothesis without a clock, what a short-lived JVM needs."""

import os

import pytest
from hypothesis import settings

from tests.rig.certificates import write_one
from tests.rig.classes import options

pytest_plugins = ["tests.rig.fixtures", "tests.rig.objects", "tests.rig.stores"]

# A deadline for each example measures the machine, not the code.
settings.register_profile("batchline", deadline=None, print_blob=True)
settings.load_profile("batchline")


@pytest.fixture(scope="session", autouse=True)
def short_lived_jvm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Flink unpacks its planner where it runs, and leaves it there; that is not to be the system's folder."""
    os.environ["JVM_ARGS"] = f"-Djava.io.tmpdir={tmp_path_factory.mktemp('jvm')} {options()}"


@pytest.fixture(scope="session", autouse=True)
def quickly_made_clients(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["SSL_CERT_FILE"] = str(write_one(tmp_path_factory.mktemp("trusted") / "certificates.pem"))
