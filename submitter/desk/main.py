"""The desk's own process: an errand on the first line of standard input, whose end is the order to stop."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, BinaryIO

import orjson

from shared.failpoints import Failpoint, reached
from shared.telemetry import start_logging
from submitter.desk.desk import Desk
from submitter.desk.errand import Errand
from submitter.desk.hands import Workers

if TYPE_CHECKING:
    from submitter.desk.topic_guard import TopicGuard

PAUSE_SECONDS = 0.25


class Teller:
    """Says what is new and what is gone since it last spoke, a JSON line for each statement that changed."""

    def __init__(self) -> None:
        self._said: dict[str, set[str]] = {}

    def lines(self, statement: str, events: Mapping[str, str]) -> list[bytes]:
        """What to say now: nothing, or one line."""
        said = self._said.get(statement)
        new = {key: event for key, event in events.items() if said is None or key not in said}
        gone = sorted((said or set()) - events.keys())
        if said is not None and not new and not gone:
            return []
        self._said[statement] = set(events)
        line = {"statement": statement, "all": said is None, "new": new, "gone": gone}
        return [orjson.dumps(line) + b"\n"]


def main() -> None:
    """Work until standard input ends, or the reader of standard output is gone."""
    start_logging()
    # Ctrl-C reaches every process of a terminal; this one ends when its run does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    errand = Errand.model_validate_json(sys.stdin.buffer.readline())
    stop = threading.Event()
    threading.Thread(target=_await_end, args=(stop,), daemon=True).start()
    with _watching(errand) as guard:
        desk = Desk(errand, Workers, confirms=guard.confirms) if guard else Desk(errand, Workers)
        try:
            changed = guard.found if guard else lambda: None
            tell(desk, errand.statements, sys.stdout.buffer, stop, over=lambda: desk.over or changed())
        except BrokenPipeError:
            # Nobody listens: the operator is gone, and so is the reason to go on.
            sys.stdout = None
        finally:
            desk.close()


def tell(
    desk: Desk,
    statements: Iterable[str],
    out: BinaryIO,
    stop: threading.Event,
    *,
    pause: float = PAUSE_SECONDS,
    over: Callable[[], str | None] = lambda: None,
) -> None:
    """Tell the operator what is new, until `stop`, or why the run is over. Raises BrokenPipeError when it is gone."""
    teller = Teller()
    while not stop.wait(pause):
        if said := over():
            out.write(orjson.dumps({"over": said}) + b"\n")
            out.flush()
            return
        for statement in statements:
            events = desk.announcements(statement)
            for line in [] if events is None else teller.lines(statement, events):
                out.write(line)
                out.flush()
                reached(Failpoint.TOLD)


def _watching(errand: Errand) -> "AbstractContextManager[TopicGuard | None]":
    """Watch the inputs' topics, whether a command does so too or not: it may be dead."""
    if not errand.watched:
        return nullcontext()
    # Only here, for the sake of memory.
    from submitter.desk.topic_guard import guarded

    return guarded(errand, os.environ)


def _await_end(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


if __name__ == "__main__":
    main()
