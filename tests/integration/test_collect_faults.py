"""What providers do to results, and what comes out: every record once, and every batch's counts add up."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.lifecycle import State
from shared.messages import Header
from shared.store import Batch
from tests.rig.fixtures import MakeTopic
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage

RECORDS = 8
BOTH, OPENAI = ("openai", "anthropic"), ("openai",)


@dataclass(frozen=True)
class Case:
    """A fault of the first batch, and what has to come of it."""

    fault: str
    options: dict[str, Any] = field(default_factory=dict)
    providers: tuple[str, ...] = BOTH
    failed: dict[str, int] = field(default_factory=dict)
    """Causes, and how many records come out with each."""
    generations: int = 2
    retries: int = 1
    """Of the youngest child."""
    patience: timedelta = timedelta()


CASES = [
    Case("lines_missing", {"lines": 3}),
    Case("lines_duplicated", {"lines": 2}, generations=1, retries=0),
    Case("lines_unknown", {"lines": 2}, generations=1, retries=0),
    Case("line_malformed", {"lines": 1}, failed={"malformed": 1}, generations=1, retries=0),
    Case("line_errored", {"lines": 2}),
    Case("line_errored", {"lines": 2, "status": 400, "type": "invalid_request_error"}, failed={"rejected": 2},
         generations=1, retries=0),
    Case("error_in_body", {"lines": 1}, OPENAI, failed={"rejected": 1}, generations=1, retries=0),
    Case("status_code_zero", {"lines": 1}, OPENAI),
    Case("expire_partially", {"done": 0.5}),
    Case("cancel_by_provider", {"done": 0.25}),
    Case("completed_without_output_file", {"error_file": "all_failed"}, OPENAI),
    Case("error_file_id_empty", {}, OPENAI, generations=1, retries=0),
    Case("request_counts_wrong", {}, generations=1, retries=0),
    Case("unicode_separators", {"lines": 3}, generations=1, retries=0),
    Case("several_output_items", {"lines": 3}, generations=1, retries=0),
    Case("refusal", {"lines": 2}, failed={"refusal": 2}, generations=1, retries=0),
    Case("cut_at_max_tokens", {"lines": 1}, failed={"truncated": 1}, generations=1, retries=0),
    Case("schema_broken", {"lines": 2}, failed={"schema": 2}, generations=1, retries=0),
    Case("schema_broken", {"lines": 1, "how": "wrong_type"}, failed={"schema": 1}, generations=1, retries=0),
    Case("output_file_delayed", {"seconds": 1.0}, OPENAI, generations=1, retries=0, patience=timedelta(seconds=30)),
    Case("results_404_after_end", {"seconds": 1.0}, generations=1, retries=0, patience=timedelta(seconds=30)),
    Case("download_cut", {"times": 2}, generations=1, retries=0),
    Case("download_cut", {"times": 1, "silent": True}, generations=1, retries=0, patience=timedelta(seconds=30)),
    Case("bad_line_fails_batch", {"numbers": [3]}, OPENAI, failed={"invalid-line": 1}, retries=0),
    Case("bad_line_fails_batch", {"contains": "review 5", "named": False}, OPENAI, failed={"rejected": 1},
         generations=4, retries=0),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path_factory.mktemp("provider"), processing_seconds=0.05) as running:
        yield running


def named(case: Case) -> str:
    return "-".join([case.fault, *(f"{name}={value}" for name, value in case.options.items())])


@pytest.mark.parametrize(
    ("case", "provider"),
    [pytest.param(case, provider, id=f"{named(case)}-{provider}") for case in CASES for provider in case.providers],
)
def test_each_record_comes_out_once_with_its_answer_or_its_cause(
    server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path, case: Case, provider: str
) -> None:
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = Stage(server, tmp_path, provider, sink(broker, topic))
    back = Back(stage, broker, f"progress-{topic}", patience=case.patience)
    server.clear_faults()
    once = {} if case.fault == "bad_line_fails_batch" and "contains" in case.options else {"times": 1}
    server.set_fault(case.fault, **{**once, **case.options})
    key = stage.submit(RECORDS)
    family = back.finish(key)
    outputs = back.outputs(at_least=RECORDS)
    assert Counter(record.headers[Header.POSITION] for record in outputs) == {
        b"reviews/0/%d" % number: 1 for number in range(RECORDS)
    }
    causes = Counter(
        error.decode().partition(":")[0] for record in outputs if (error := record.headers.get(Header.ERROR))
    )
    assert causes == case.failed
    check(family, failed=sum(case.failed.values()))
    assert max(batch.generation for batch in family) + 1 == case.generations
    assert max(batch.retries for batch in family) == case.retries
    stage.close()


def check(family: list[Batch], *, failed: int) -> None:
    """Conservation, for each batch and for all of them."""
    for batch in family:
        assert batch.records == batch.succeeded + batch.failed + batch.carried, batch
        children = [child for child in family if child.parent == batch.batch_key]
        assert batch.carried == sum(child.records for child in children)
    assert sum(batch.succeeded for batch in family) == RECORDS - failed
    assert sum(batch.failed for batch in family) == failed
    assert family[0].state in (State.PUBLISHED, State.FAILED)
