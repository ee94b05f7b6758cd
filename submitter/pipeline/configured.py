"""What SET and RESET configure in a file, below the command line's -D: ours, Flink's, and what Flink can't use."""

from collections.abc import Mapping

from pyflink.table import StreamTableEnvironment

from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.flink import open_checked
from submitter.pipeline.script import Script
from submitter.pipeline.settings import PREFIX, Given

REFUSED = {
    "execution.runtime-mode": ("streaming", "a pipeline runs in streaming mode, over bounded sources too"),
    "table.sql-dialect": ("default", "the file is read in Flink's own dialect"),
    "table.exec.legacy-cast-behaviour": ("disabled", "the publisher casts as Flink does without it"),
}


class Configured:
    """A file's configuration; what is wrong with it is a fault."""

    def __init__(self, options: Mapping[str, str], faults: Faults) -> None:
        """`options`: the command line's."""
        self._options, self._faults = options, faults
        self._given: dict[str, Given] = {}
        self._unusable = {*REFUSED}

    def read(self, script: Script) -> None:
        """Take what a script leaves in force at its end."""
        for node in script.nodes:
            if node.kind == "SqlSet" and node.tree.getKey() is not None:
                value = str(node.tree.getValueString())
                given = Given(value, script.unresolved.get(value, value), node.line)
                self._given[str(node.tree.getKeyString())] = given
            elif node.kind == "SqlReset" and node.tree.getKey() is not None:
                self._given.pop(str(node.tree.getKeyString()), None)
            elif node.kind == "SqlReset":
                self._given.clear()
        for name, (allowed, why) in REFUSED.items():
            value = {**self._flink(), **self._options}.get(name, allowed)
            if value.lower() != allowed:
                self._wrong(name, f"'{value}' can't be had: {why}")

    def ours(self) -> dict[str, Given]:
        """The settings `batchline.*`."""
        return {name: given for name, given in self._given.items() if name.startswith(PREFIX)}

    def flink(self) -> dict[str, str]:
        """The file's Flink configuration."""
        return {name: value for name, value in self._flink().items() if name not in REFUSED}

    def open(self) -> StreamTableEnvironment:
        """An environment with all that Flink can use, from its start."""
        whole = {**self.flink(), **self._options}
        return open_checked({name: value for name, value in whole.items() if name not in REFUSED}, self._wrong)

    def takes(self, name: str) -> bool:
        """Whether a SET has its effect where it stands."""
        return not name.startswith(PREFIX) and name not in self._options and name not in self._unusable

    def _flink(self) -> dict[str, str]:
        return {name: given.value for name, given in self._given.items() if not name.startswith(PREFIX)}

    def _wrong(self, name: str | None, message: str) -> None:
        if name is None:
            self._faults.add(message)
            return
        self._unusable.add(name)
        line = self._given[name].line if name in self._given and name not in self._options else None
        self._faults.add(message, Place(line, f"{'-D' if line is None else 'SET'} '{name}'"))
