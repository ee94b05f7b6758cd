"""The Flink function that announces batches. What is slow, and all that lasts, is at the desk beside it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from pyflink.common import Row, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor


class Announcer(Protocol):
    """Where the operator learns which batches were submitted; it never blocks."""

    def announcements(self, statement: str) -> Mapping[str, str] | None:
        """The event of each submitted batch that still is of interest, by batch key; None while that is not known."""
        ...

    def close(self) -> None:
        """Let what is under way come to its durable step, and stop."""
        ...


class Submit(KeyedProcessFunction):
    """Yields a row (batch key, event) for each submitted batch, once: what it has announced is keyed state.

    A tick carries a statement's name and is keyed by it.
    """

    def __init__(self, open_desk: Callable[[], Announcer]) -> None:
        self._open_desk = open_desk
        self._desk: Announcer | None = None
        self._announced: MapState | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        known = MapStateDescriptor("announced", Types.STRING(), Types.BOOLEAN())
        self._announced = runtime_context.get_map_state(known)
        self._desk = self._open_desk()

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:  # noqa: ARG002 Flink's name
        if self._desk is None or self._announced is None:
            return
        current = self._desk.announcements(value[0])
        if current is None:
            return
        known = set(self._announced.keys())
        for key in known - current.keys():
            self._announced.remove(key)
        for key in sorted(current.keys() - known):
            self._announced.put(key, True)
            yield Row(key, current[key])

    def close(self) -> None:
        if self._desk is not None:
            self._desk.close()


def event_type() -> TypeInformation:
    """What Submit yields."""
    return Types.ROW_NAMED(["batch_key", "event"], [Types.STRING(), Types.STRING()])
