"""Plays the operator within Flink: what the desk tells goes to the batches topic, at least once as a rule.

Now and then an announcement is made twice, or is lost: the poller must do without.
"""

from pathlib import Path
from random import Random

import orjson
from confluent_kafka import Producer

_TIMES = (0, 1, 1, 1, 2)


class Announcer:
    """Reads the file that the desks of a run append to."""

    def __init__(self, producer: Producer, topic: str, told: Path, random: Random) -> None:
        self._producer, self._topic, self._told, self._random = producer, topic, told, random
        self._read = 0

    def tell(self) -> None:
        """Pass on what is new."""
        if not self._told.exists() or self._told.stat().st_size == self._read:
            return
        with self._told.open("rb") as file:
            file.seek(self._read)
            said = file.read()
        # A desk that was killed in mid-word leaves a line without its end; what its successor says begins there.
        whole = said[: said.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            self._announce(line)

    def close(self) -> None:
        self._producer.flush(5)

    def _announce(self, line: bytes) -> None:
        try:
            new = orjson.loads(line)["new"]
        except orjson.JSONDecodeError:
            return
        for key, event in new.items():
            for _ in range(self._random.choice(_TIMES)):
                self._producer.produce(self._topic, event, key)
        self._producer.poll(0)
