"""What every test finds: the rig's fixtures, hypothesis without a clock, a folder for this process's own JVM."""

import os

import pytest
from hypothesis import settings

pytest_plugins = ["tests.rig.fixtures", "tests.rig.objects", "tests.rig.stores"]

# A deadline for each example measures the machine, not the code.
settings.register_profile("batchline", deadline=None, print_blob=True)
settings.load_profile("batchline")


@pytest.fixture(scope="session", autouse=True)
def folder_of_the_jvm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Flink unpacks its planner where it runs, and leaves it there; that is not to be the system's folder."""
    os.environ["JVM_ARGS"] = f"-Djava.io.tmpdir={tmp_path_factory.mktemp('jvm')} -XX:-UsePerfData"
