"""What `flink run -py` runs: reads the file again where Flink submits from, and executes its job. No decisions."""

import os
import sys
from pathlib import Path

from submitter.assembly import assemble
from submitter.check import check
from submitter.configuration import Start


def main(file: str, start: str, jars: str) -> None:
    """`start` is the path of a Start as JSON, `jars` the value of pipeline.jars."""
    checked = check(Path(file), os.environ, {"pipeline.jars": jars})
    begun = Start.model_validate_json(Path(start).read_text(encoding="utf-8"))
    assemble(checked.tables, checked.pipeline, begun).execute()


if __name__ == "__main__":
    main(*sys.argv[1:])
