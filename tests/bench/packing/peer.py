"""Flink's own ML_PREDICT with its own OpenAI provider, as a process of its own; nothing of batchline's road is in it.

`python -m tests.bench.packing.peer FILE FOLDER`: executes the statements in FILE, a JSON list, and waits for the last.
"""

import sys
from pathlib import Path

import orjson

from deploy.sandbox.ports import free_ports
from submitter.job.configuration import defaults, embedded
from submitter.jvm import prepare
from submitter.pipeline.flink import open_environment

JARS = Path(__file__).parents[3] / "deploy" / "jars" / "bench"


def main(file: Path, folder: Path) -> None:
    """Run it to its end, under the configuration that `submitter run` has too."""
    jars = sorted(JARS.glob("flink-model-openai-*.jar"))
    if not jars:
        raise SystemExit(f"no jar of Flink's OpenAI provider lies in {JARS}: run `make setup`")
    prepare()
    (port,) = free_ports(1)
    options = {**defaults("peer", f"file://{folder}/checkpoints"), **embedded(port)}
    options |= {"execution.checkpointing.interval": "2 s", "pipeline.jars": ";".join(jar.as_uri() for jar in jars)}
    tables = open_environment(options)
    *declared, insert = orjson.loads(file.read_bytes())
    for statement in declared:
        tables.execute_sql(statement)
    tables.execute_sql(insert).wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
