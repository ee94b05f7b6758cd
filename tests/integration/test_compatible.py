"""Services that speak OpenAI's shape with habits of their own, as `batch.profile.…` says of them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.provider.answers import echo
from deploy.sandbox.provider.witness import Witness
from poller.collect.decision import read_decision, results_in
from poller.collect.results import Results, Verdict
from poller.collect.values import reader_of
from poller.models import Models
from shared.definition import Column
from shared.errors import NotFound
from shared.lifecycle import State
from shared.providers import provider_for
from shared.store import Batch
from submitter.pipeline.profile import profile_fields
from tests.contracts.provider_account import Account
from tests.rig.asking import Road
from tests.rig.samples import STRING
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

DAY = 86_400
GATEWAY = {"openai_metadata_pairs": 0, "openai_file_lifetimes": 0, "batch_seconds": 7 * DAY, "openai_requests": 4}
SAID: dict[str, Any] = {
    "batch.profile.metadata": False,
    "batch.profile.file-lifetime": 0.0,
    "batch.profile.window": "168h",
    "batch.profile.max-requests": 4,
    "batch.profile.results-lifetime": 3 * DAY,
    "batch.profile.price-factor": 1.0,
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    """A gateway that refuses what it does not know."""
    with ProviderServer(tmp_path_factory.mktemp("gateway"), processing_seconds=0.2, limits=GATEWAY) as server:
        yield server


@pytest.fixture
def stage(gateway: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    gateway.clear_faults()
    made = Stage(gateway, tmp_path, model={"profile": profile_fields(SAID)})
    yield made
    gateway.clear_faults()
    made.close()


def test_a_service_s_habits_come_from_the_model(stage: Stage) -> None:
    models = Models(stage.store, stage.spool, stage.environ)
    said, plain = stage.definition().model, stage.definition().model.model_copy(update={"profile": {}})
    profile = models.provider_for(said).profile
    assert (profile.max_requests, profile.window, profile.files_kept) == (4, "168h", None)
    assert (profile.results_kept, profile.price_factor) == (timedelta(days=3), 1.0)
    assert models.provider_for(plain).profile.max_requests == 50_000, "each model has its own"


def test_a_file_is_cut_at_the_service_s_own_limit_and_all_of_it_is_accepted(stage: Stage) -> None:
    keys = stage.plan_rows(range(10))
    assert [stage.batch(key).requests for key in keys] == [4, 4, 2]
    submission = stage.submission()
    for key in keys:
        submission.work(key)
        assert stage.watch_until(key, State.ENDED).error is None


def test_a_create_whose_answer_was_lost_is_known_by_its_input_file(stage: Stage) -> None:
    stage.server.set_fault("create_accepted_response_lost", times=1, hang=0.0)
    twin = stage.plan(3)
    key = stage.plan(3)
    submission = stage.submission()
    submission.work(key)
    assert stage.batch(key).state is State.AMBIGUOUS
    # Another batch as large as it: without metadata, its size alone would not tell them apart.
    submission.work(twin)
    assert stage.batch(twin).state is State.SUBMITTED, "no other create waits for the one that is being looked up"

    def adopted() -> bool:
        submission.work(key)
        return stage.batch(key).state is State.SUBMITTED

    wait_until(adopted, 20, lambda: f"{key} to be adopted, it is {stage.batch(key)}")
    assert stage.batch(key).provider_batch_id != stage.batch(twin).provider_batch_id
    creates = Witness(stage.server.directory).creates()
    assert len({create["input_file"] for create in creates}) == len(creates)
    assert stage.watch_until(key, State.ENDED).error is None


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("batch.profile.metadata", "metadata"),
        ("batch.profile.file-lifetime", "expires_after"),
        ("batch.profile.window", "completion_window"),
    ],
)
def test_a_habit_that_is_not_told_is_refused_in_the_service_s_words(
    gateway: ProviderServer, tmp_path: Path, missing: str, said: str
) -> None:
    gateway.clear_faults()
    account = Account(gateway, "chat", tmp_path)
    fields = profile_fields({name: value for name, value in SAID.items() if name != missing})
    model = account.definition.model.model_copy(update={"profile": fields})
    account.provider = provider_for(model, {"THE_KEY": "k"})
    with pytest.raises(Exception, match=said if said != "completion_window" else "24h"):
        account.submit()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    """A server of one's own: chat completions alone, without usage, and JSON in a text fence."""
    with ProviderServer(tmp_path_factory.mktemp("own"), limits={"openai_plain": 1}) as server:
        yield server


def collected(stage: Stage, records: int) -> tuple[Batch, list[bytes]]:
    """A batch that was asked record by record, and what is kept of its answers."""
    key, road = stage.plan(records), Road(stage)
    asker, collector = road.asker(), road.collector()

    def is_there() -> bool:
        asker.run_once()
        collector.run_once()
        return stage.batch(key).state is State.COLLECTED

    wait_until(is_there, 60, lambda: f"{key} to be collected, it is {stage.batch(key)}")
    batch = stage.batch(key)
    folder = stage.spool.batch(batch.pipeline, batch.statement, key)
    decision = read_decision(stage.spool.files, folder)
    assert decision is not None
    with Results(stage.path(results_in(folder, decision)), records) as results:
        assert set(results.verdicts) == {Verdict.ANSWERED}
        return batch, [results.answer(record) for record in range(records)]


def test_a_server_without_a_batch_api_is_asked_record_by_record(own_server: ProviderServer, tmp_path: Path) -> None:
    said = {"parameters": {"batch.structured-output": "schema"}, "model": "qwen3:8b"}
    stage = Stage(own_server, tmp_path, batch_options={"mode": "sync", "response_format": "json"}, model=said)
    batch, answers = collected(stage, 6)
    assert (batch.input_tokens, batch.cost_usd, batch.carried) == (0, None, 0)
    read = reader_of(stage.definition().model)
    assert [set(read(answer)) for answer in answers] == [{"label", "score"}] * 6
    stage.close()


def test_one_text_of_such_a_server_is_taken_as_it_is(own_server: ProviderServer, tmp_path: Path) -> None:
    said = {"output": (Column(name="answer", type=STRING),), "model": "llama3", "system_prompt": "Repeat."}
    stage = Stage(own_server, tmp_path, batch_options={"mode": "sync"}, model=said)
    batch, answers = collected(stage, 3)
    assert [answer.decode() for answer in answers] == [echo(f"review {number}") for number in range(3)]
    assert batch.model == "llama3"
    stage.close()


def test_such_a_server_has_nothing_else(own_server: ProviderServer, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Account(own_server, "chat", tmp_path).submit()
