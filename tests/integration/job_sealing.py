"""A sealing query by itself, as a process to be killed: `job_sealing.py FOLDER endless|plain ROWS [RESTORE]`.

It prints how the job ended: `sealed` once it works and every row is in a finished file, else why it ended.
"""

import contextlib
import sys
import threading
from pathlib import Path
from typing import Any

from submitter import jvm

jvm.prepare()

from py4j.protocol import Py4JError  # noqa: E402 after the JVM is prepared
from pyflink.common import Configuration  # noqa: E402 - the log is silenced first
from pyflink.datastream import StreamExecutionEnvironment  # noqa: E402 after the JVM is prepared
from pyflink.table import StreamTableEnvironment  # noqa: E402 after the JVM is prepared

from submitter.job.configuration import embedded  # noqa: E402 after the JVM is prepared
from submitter.job.rest import root_cause  # noqa: E402 after the JVM is prepared
from submitter.job.sealing import Branch, Rolling, endless_ddl, insert, sealed_ddl  # noqa: E402 after the JVM is prepared
from submitter.temporary import temporary  # noqa: E402 after the JVM is prepared
from tests.integration.job_files import free_port, sealed_rows  # noqa: E402 after the JVM is prepared


def main(folder: Path, variant: str, rows: int, restore: str | None) -> None:
    configuration = Configuration()
    for name, value in {
        **embedded(free_port()),
        "parallelism.default": "1",
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.tolerable-failed-checkpoints": "1000",
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "restart-strategy.type": "none",
        **({"execution.state-recovery.path": restore} if restore else {}),
    }.items():
        configuration.set_string(name, value)
    tables = StreamTableEnvironment.create(StreamExecutionEnvironment.get_execution_environment(configuration))
    tables.execute_sql(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '500',"
        f" 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}')"
    )
    tables.execute_sql(endless_ddl())
    columns = [("n", "BIGINT")]
    rolling = Rolling(900, 1 << 27, bounded=True)
    tables.execute_sql(sealed_ddl("sealed", columns, (folder / "sealed").as_uri(), rolling))
    query = insert("sealed", columns, [Branch("`numbers`")])
    if variant == "plain":
        query = query.partition(" UNION ALL ")[0]
    job = tables.execute_sql(query).get_job_client()
    assert job is not None
    result = job.get_job_execution_result()
    while not threading.Event().wait(0.2):
        if result.done():
            # The embedded cluster ends with its job: only its result is left to ask.
            sys.stdout.write(f"ended: {_cause(result)}\n")
            return
        committed = list((folder / "checkpoints" / str(job.get_job_id())).glob("chk-*/_metadata"))
        if committed and len(sealed_rows(folder / "sealed")) >= rows:
            sys.stdout.write("sealed\n")
            with contextlib.suppress(Py4JError):
                # Without the endless source the job may have ended by itself by now, and its cluster with it.
                job.cancel().result()
            return


def _cause(result: Any) -> str:
    try:
        result.result()
    except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
        return root_cause(str(error))
    return "finished"


if __name__ == "__main__":
    with temporary() as held, jvm.running(held):
        main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None)
