"""What the reading of a file has learned so far: its surroundings, where its options stand, its statements' names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from submitter.pipeline.catalog_values import Identifier


@dataclass
class Known:
    """What every statement needs; the reading of a file fills it in as it goes on."""

    environ: Mapping[str, str]
    pipeline: str
    has_kafka_config: bool
    unresolved: Mapping[str, str]
    """A literal's value to what the file has in its place."""
    lines: dict[Identifier, dict[str, int]] = field(default_factory=dict)
    """The lines of the options of what the file creates or alters."""
    sinks: frozenset[str] = frozenset()
    """The names of the tables that the file's INSERTs write: a number makes none of them."""
    names: set[str] = field(default_factory=set)
    """The statements' names so far."""

    def name(self, sink: str) -> str:
        """A new statement's name: the sink's, and -2, -3 … where that is taken."""
        number, name = 1, sink
        while name in self.names or (number > 1 and name in self.sinks):
            number += 1
            name = f"{sink}-{number}"
        self.names.add(name)
        return name
