"""Peak memory (VmHWM) while one batch is handled: of the submit operator's Python process, and of the poller.

The real commands: `submitter run` over a bounded topic, then `poller run`. Where the operator works depends on the
cluster, so the largest Python process of the submitter counts: the command itself, or a worker below its JVM.
"""

import re
import tempfile
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
Peaks = dict[str, float]


def main() -> list[Row]:
    """A row for the submitter with each provider, one for the poller: the large batch beside the small one."""
    with tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder, LocalBroker() as broker:
        large, small = (_peaks(broker, Path(folder, str(size)), REQUESTS * size // LARGE) for size in (LARGE, SMALL))
    return [_row(name, large[name], small[name]) for name in large]


def _peaks(broker: LocalBroker, folder: Path, requests: int) -> Peaks:
    """Peak memory in MB of each process that handles a batch of so many requests."""
    with ProviderServer(folder / "provider", processing_seconds=1.0) as server:
        openai, anthropic = (_road(broker, server, folder, name, requests) for name in ("openai", "anthropic"))
        return {
            "`submitter run` with OpenAI": _submit(openai),
            "`submitter run` with Anthropic": _submit(anthropic),
            "`poller run`": _publish(openai, requests),
        }


def _road(broker: LocalBroker, server: ProviderServer, folder: Path, provider: str, requests: int) -> Road:
    own = folder / provider
    own.mkdir(parents=True)
    road = Road(broker, server, Processes(own / "logs"), own, provider=provider)
    texts = cycle([review.text for review in read_reviews()])
    road.produce([" ".join(islice(texts, TEXT // 80))[:TEXT].ljust(TEXT, ".") for _ in range(requests)])
    return road


def _submit(road: Road) -> float:
    """Run the job to its end; the peak of its largest Python process."""
    options = {"system-prompt": "Summarize. " * (PROMPT // 11), "batch.max-requests": "50000"}
    options |= {"batch.max-age": "2 min", "batch.request-timeout": "120 s"}
    file = road.write(road.model(**options), road.insert())
    command = road.submitter(file)
    peak = 0.0

    def over() -> bool:
        nonlocal peak
        peak = max([peak, *map(_peak, [command.pid, *_workers(command)])])
        return not command.running

    try:
        wait_until(over, DEADLINE, lambda: f"the job's end\n{command.tail()}", interval=0.1)
    finally:
        command.terminate()
    assert command.returncode == 0, command.tail()
    with Store.open(road.store) as store:
        (batch,) = store.batches.rows()
    size = LARGE * batch.requests / REQUESTS
    assert abs(batch.bytes / MB / size - 1) < 0.05, f"the batch has {batch.bytes / MB:.0f} MB, not {size:.0f}"
    return peak


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


def _workers(command: Child) -> list[int]:
    """The Python workers below a command's JVM."""
    try:
        below = psutil.Process(command.pid).children(recursive=True)
        return [each.pid for each in below if "python" in each.name() and "pyflink" in " ".join(each.cmdline())]
    except psutil.Error:
        return []


def _peak(pid: int) -> float:
    """The most that a process has held in memory, in MB; 0 of one that is gone."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(match[1]) * 1024 / MB if match else 0.0


def _row(name: str, large: float, small: float) -> Row:
    ratio = large / small
    met = large < MOST_MB and small < MOST_MB and 1 / (1 + WITHIN) <= ratio <= 1 + WITHIN
    target = f"< {MOST_MB} MB, ratio ≤ {1 + WITHIN:g}"
    told = f"batch of {SMALL} MB: {small:,.0f} MB"
    return Row(f"peak memory of {name}, batch of {LARGE} MB", f"{large:,.0f} MB", told, ratio, target, met)
