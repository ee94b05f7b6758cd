"""Plan, render and write of 50,000 requests from a sealed file, on one thread, with the store's transaction."""

import json
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from deploy.demo.reviews import read_reviews
from shared.clock import system_clock
from shared.definition import Definition
from shared.providers import provider_for
from shared.spool import SealedFile, Spool
from shared.store import Store
from submitter.planning.planner import Planner
from tests.bench.rows import Row, interleaved, per_second, timed_on_a_core
from tests.rig import samples

REQUESTS = 50_000
ROUNDS = 7
TARGET = 150_000


def main() -> list[Row]:
    """One row: our rate, beside a script's that only does json.loads and json.dumps line by line."""
    with (
        tempfile.TemporaryDirectory(prefix="batchline-bench-") as folder,
        Store.open(f"sqlite:///{folder}/s.db") as store,
    ):
        bench = _Bench(Path(folder), store)
        seconds = interleaved({"ours": bench.ours, "plain": bench.plain}, ROUNDS)
    ours, plain = REQUESTS / seconds["ours"], REQUESTS / seconds["plain"]
    name = f"plan, render and write {REQUESTS:,} requests (one core)"
    target = f"≥ {per_second(TARGET, 'requests')}"
    theirs = f"json.loads, json.dumps, write: {per_second(plain, 'requests')}"
    return [Row(name, per_second(ours, "requests"), theirs, ours / plain, target, ours >= TARGET)]


class _Bench:
    """Each run takes a new file: what is planned once is never planned again."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._stated: Definition = samples.definition()
        self._folder = folder
        self._files = 0
        store.lineage.put_definition(self._stated)
        self._spool = Spool(f"file://{folder}/spool")
        self._planner = Planner(store, self._spool, lambda model: provider_for(model, {}), system_clock)

    def ours(self) -> float:
        file = self._seal()
        keys: list[str] = []
        seconds = timed_on_a_core(
            lambda: keys.extend(self._planner.plan(self._stated.pipeline, self._stated.statement, file))
        )
        (key,) = keys
        manifest = self._spool.manifest(self._stated.pipeline, self._stated.statement, key)
        assert manifest.requests == REQUESTS, f"{manifest.requests} requests were planned"
        return seconds

    def plain(self) -> float:
        sealed, out = self._folder / "spool" / self._seal().address, self._folder / "plain.jsonl"
        body = json.loads(provider_for(self._stated.model, {}).requests(self._stated.model).line("", ""))

        def script() -> None:
            with sealed.open() as lines, out.open("w") as requests:
                for number, line in enumerate(lines):
                    body["custom_id"] = f"request-{number}"
                    body["body"]["messages"][-1]["content"] = json.loads(line)["row"]["review"]
                    requests.write(json.dumps(body) + "\n")

        return timed_on_a_core(script)

    def _seal(self) -> SealedFile:
        first, self._files = self._files * REQUESTS, self._files + 1
        return samples.seal(self._spool.files, self._stated, _lines(first), f"part-0-{self._files}")


def _lines(first: int) -> Iterator[bytes]:
    texts = cycle([review.text for review in read_reviews()])
    for number, text in enumerate(islice(texts, REQUESTS), first):
        yield samples.sealed_line(number, text, [0, 0, number])
