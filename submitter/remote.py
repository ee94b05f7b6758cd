"""What `flink run -py` runs: reads the file where Flink submits from, and executes its job unless the run is over."""

import os
import sys
from pathlib import Path

from shared.store import Store
from submitter.job.assembly import assemble
from submitter.job.configuration import Start
from submitter.pipeline.check import check


def main(file: str, start: str, jars: str) -> None:
    """`start` is the path of a Start as JSON, `jars` the value of pipeline.jars."""
    checked = check(Path(file), os.environ, {"pipeline.jars": jars})
    begun = Start.model_validate_json(Path(start).read_text(encoding="utf-8"))
    with Store.open(checked.pipeline.settings.state_store) as store:
        # The command that handed this over may be gone, and another run may have begun meanwhile.
        if not store.lineage.is_current(checked.pipeline.name, begun.epoch):
            raise SystemExit(f"run {begun.epoch} of '{checked.pipeline.name}' is over; nothing is submitted")
    assemble(checked.tables, checked.pipeline, begun).execute()


if __name__ == "__main__":
    main(*sys.argv[1:])
