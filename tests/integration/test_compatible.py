"""Services that speak OpenAI's shape with habits of their own, as `batch.profile.…` says of them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox.provider import ProviderServer
from deploy.sandbox.provider.witness import Witness
from poller.models import Models
from shared.lifecycle import State
from shared.providers import provider_for
from submitter.pipeline.profile import profile_fields
from tests.contracts.provider_account import Account
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
