"""Peak memory (VmHWM) while one batch is handled: of each of the submitter's Python processes, and of the poller.

The real commands: `submitter run` over a bounded topic, then `poller run`. The submit operator is Flink's Python worker
and the desk beside it, which plans and uploads; the command only watches, and PyFlink loads Beam into it all the same.
"""

import re
import tempfile
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import psutil

from deploy.demo.reviews import read_reviews
from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from shared.lifecycle import State
from shared.store import Batch, Store
from tests.acceptance.road import Road
from tests.bench.rows import MB, Row
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

LARGE, SMALL = 200, 20
REQUESTS = 49_500
"""Of the large batch: just within OpenAI's limit."""
PROMPT, TEXT = 1_600, 2_150
"""Characters of the system prompt and of a record: 3,950 bytes a request. The rows alone fit into one sealed file."""
MOST_MB, WITHIN = 250, 0.2
DEADLINE = 300.0
OPERATOR, DESK, COMMAND, POLLER = "the submit operator's worker", "its desk", "`submitter run` itself", "`poller run`"
ROLES = {"pyflink.fn_execution": OPERATOR, "submitter.desk.main": DESK}
"""By what stands on its command line."""
Peaks = dict[str, float]


def main() -> list[Row]:
    """A row for each process and provider: the large batch beside the small one."""
    with tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder, LocalBroker() as broker:
        large, small = (_peaks(broker, Path(folder, str(size)), REQUESTS * size // LARGE) for size in (LARGE, SMALL))
    return [_row(name, large[name], small[name]) for name in large]


def _peaks(broker: LocalBroker, folder: Path, requests: int) -> Peaks:
    """Peak memory in MB of each process that handles a batch of so many requests."""
    with ProviderServer(folder / "provider", processing_seconds=1.0) as server:
        roads = {name: _road(broker, server, folder, name.lower(), requests) for name in ("OpenAI", "Anthropic")}
        peaks = {name: _submit(road) for name, road in roads.items()}
        made = {f"{role}, {name}": peaks[name][role] for role in (OPERATOR, DESK, COMMAND) for name in roads}
        return made | {POLLER: _publish(roads["OpenAI"], requests)}


def _road(broker: LocalBroker, server: ProviderServer, folder: Path, provider: str, requests: int) -> Road:
    own = folder / provider
    own.mkdir(parents=True)
    road = Road(broker, server, Processes(own / "logs"), own, provider=provider)
    texts = cycle([review.text for review in read_reviews()])
    road.produce([" ".join(islice(texts, TEXT // 80))[:TEXT].ljust(TEXT, ".") for _ in range(requests)])
    return road


def _submit(road: Road) -> Peaks:
    """Run the job to its end; the peak of each of its Python processes."""
    options = {"system-prompt": "Summarize. " * (PROMPT // 11), "batch.max-requests": "50000"}
    options |= {"batch.max-age": "2 min", "batch.request-timeout": "120 s"}
    file = road.write(road.model(**options), road.insert())
    command = road.submitter(file)
    peaks = dict.fromkeys((OPERATOR, DESK, COMMAND), 0.0)

    def over() -> bool:
        for pid, role in [(command.pid, COMMAND), *_below(command)]:
            peaks[role] = max(peaks[role], _peak(pid))
        return not command.running

    try:
        wait_until(over, DEADLINE, lambda: f"the job's end\n{command.tail()}", interval=0.1)
    finally:
        command.terminate()
    assert command.returncode == 0, command.tail()
    assert all(peaks.values()), f"a process was never seen: {peaks}"
    with Store.open(road.store) as store:
        (batch,) = store.batches.rows()
    size = LARGE * batch.requests / REQUESTS
    assert abs(batch.bytes / MB / size - 1) < 0.05, f"the batch has {batch.bytes / MB:.0f} MB, not {size:.0f}"
    return peaks


def _publish(road: Road, requests: int) -> float:
    poller = road.poller("run")

    def published() -> Batch | None:
        return next((batch for batch in store.batches.rows() if batch.state is State.PUBLISHED), None)

    with Store.open(road.store) as store:
        try:
            batch = wait_until(published, DEADLINE, lambda: f"the batch's records\n{poller.tail()}", interval=0.2)
            assert batch.succeeded == requests, f"{batch.succeeded} of {requests} records succeeded"
            return _peak(poller.pid)
        finally:
            poller.terminate()


def _below(command: Child) -> list[tuple[int, str]]:
    """The Python processes below a command's JVM, and what each is."""
    found: list[tuple[int, str]] = []
    with suppress(psutil.Error):
        for process in psutil.Process(command.pid).children(recursive=True):
            line = " ".join(process.cmdline())
            found += [
                (process.pid, role) for mark, role in ROLES.items() if mark in line and "python" in process.name()
            ]
    return found


def _peak(pid: int) -> float:
    """The most that a process has held in memory, in MB; 0 of one that is gone."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(match[1]) * 1024 / MB if match else 0.0


def _row(name: str, large: float, small: float) -> Row:
    told, ours = f"batch of {SMALL} MB: {small:,.0f} MB", f"{large:,.0f} MB"
    measure, ratio = f"peak memory of {name}, batch of {LARGE} MB", large / small
    is_flat = 1 / (1 + WITHIN) <= ratio <= 1 + WITHIN
    if name.startswith(COMMAND):
        return Row(measure, ours, told, ratio, f"ratio ≤ {1 + WITHIN:g}", is_flat)
    met = is_flat and max(large, small) < MOST_MB
    return Row(measure, ours, told, ratio, f"< {MOST_MB} MB, ratio ≤ {1 + WITHIN:g}", met)
