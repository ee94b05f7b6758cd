"""What Flink's own configuration must not say of a job that starts without state."""

from submitter.job.assembly import forget_state
from submitter.job.configuration import STATES
from submitter.pipeline.flink import open_environment


def test_a_state_that_is_not_restored_stands_in_no_configuration_of_flink_s() -> None:
    """Neither from -D, with which the environment is opened, nor from a SET in the file."""
    tables = open_environment(dict.fromkeys(STATES, "file:///too-old"))
    for name in STATES:
        tables.get_config().set(name, "file:///too-old-as-well")
    forget_state(tables)
    assert [tables.get_config().get(name, "") for name in STATES] == ["", ""]
