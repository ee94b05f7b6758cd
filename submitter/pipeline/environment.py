"""The table environment of a job of the user's own: its configuration, and what a prediction in it needs."""

from collections.abc import Mapping

from pyflink.table import StatementSet, StreamTableEnvironment, Table

from shared.errors import SettingsError
from submitter.pipeline.configured import REFUSED
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.settings import PREFIX, Given
from submitter.pipeline.telling import told


def environment_of(table: Table, statements: StatementSet) -> StreamTableEnvironment:
    """Where a table and a statement set belong. Raises SettingsError where they don't belong together."""
    tables = table._t_env  # noqa: SLF001 - PyFlink has no other way from a table to its environment
    if not isinstance(tables, StreamTableEnvironment):
        raise SettingsError(
            "batches are announced by a DataStream operator: make the table environment by "
            "StreamTableEnvironment.create(StreamExecutionEnvironment.get_execution_environment())"
        )
    if statements._t_env is not tables:  # noqa: SLF001 - as above
        raise SettingsError("the StatementSet is another table environment's: take tables.create_statement_set()")
    return tables


def configuration_of(tables: StreamTableEnvironment) -> dict[str, str]:
    """What is configured for the job, the table environment's own word last."""
    java = tables._j_tenv  # noqa: SLF001 - as above
    both = (java.execEnv().getConfiguration(), java.getConfig().getConfiguration())
    return {str(name): str(value) for each in both for name, value in dict(each.toMap()).items()}


def check_environment(tables: StreamTableEnvironment, configuration: Mapping[str, str], faults: Faults) -> None:
    """Whether rows would ever be sealed in it, and mean what they mean."""
    for name, (allowed, why) in REFUSED.items():
        value = configuration.get(name, allowed)
        if value.lower() != allowed:
            faults.add(f"'{value}' can't be had: {why}", Place(option=name))
    checkpoints = tables._j_tenv.execEnv().getCheckpointConfig()  # noqa: SLF001 - as above
    if not (checkpoints.isCheckpointingEnabled() or configuration.get("execution.checkpointing.interval")):
        faults.add(
            "the job has no checkpoints, on which rows are sealed: call environment.enable_checkpointing(30_000)"
        )


def settings_given(
    configuration: Mapping[str, str], pipeline: str | None, environ: Mapping[str, str], faults: Faults
) -> dict[str, Given]:
    """The settings `batchline.*`, with the environment's values in place of `${NAME}`."""
    raw = {name: value for name, value in configuration.items() if name.startswith(PREFIX)}
    raw |= {f"{PREFIX}pipeline": pipeline} if pipeline is not None else {}
    return {name: Given(told(value, environ, faults, Place(option=name)), value) for name, value in raw.items()}
