"""What of the environment may be stored nowhere, and whether it would be, by whatever option it came in. Pure."""

from collections.abc import Iterable, Mapping

import orjson

from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.kafka_properties import passwords
from submitter.pipeline.references import SHORTEST_SECRET, is_credential, referenced


class Secrets:
    """Learns which variables hold secrets: by their names, and by where their values stand."""

    def __init__(self, environ: Mapping[str, str], literals: Iterable[str], faults: Faults) -> None:
        """`literals`: what a file has in place of the environment's values."""
        self._environ, self._faults = environ, faults
        used = {name for literal in literals for name in referenced(literal)}
        self._names = set(filter(is_credential, used))

    def note(self, options: Mapping[str, str]) -> None:
        """Whatever a variable is called, its value is a secret where it stands as one, in a table's options."""
        self._names |= {name for value in passwords(options) for name in referenced(value)}

    def check(self, text: bytes, key: str, place: Place) -> None:
        """What is stored with every plan may hold none. `key`: the model's `api-key`."""
        for name in sorted({*referenced(key), *self._names}):
            value = self._environ.get(name, "")
            if len(value) >= SHORTEST_SECRET and orjson.dumps(value)[1:-1] in text:
                self._faults.add(
                    f"the value of ${{{name}}} would be stored with the statement's definition: a secret may stand "
                    "only in 'api-key' and in the passwords of 'properties.*'",
                    place,
                )
