"""No key stands anywhere but in the environment, though both providers say it back: everything is searched."""

import base64
import logging
import signal
from pathlib import Path
from urllib.parse import quote

from confluent_kafka.admin import AdminClient

from deploy.sandbox.provider import ProviderServer
from shared.clock import system_clock
from shared.messages import PROGRESS_TOPIC
from shared.store import Store
from shared.telemetry import REDACTED, Action, Secrets, say
from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import START_SECONDS, Road
from tests.rig.leaks import Leaks
from tests.rig.waiting import wait_until

KEYS = {"OPENAI_API_KEY": "key/of+openai=0451&<", "ANTHROPIC_API_KEY": "key/of+anthropic=0451&<"}
LEAKS = Leaks(KEYS.values())
RECORDS, WRONG = 60, 5
ANYWAY = 10_000


def said(key: str) -> tuple[str, ...]:
    """A key as it is, in an address, and in a header."""
    return key, quote(key, safe=""), "Basic " + base64.b64encode(f"user:{key}".encode()).decode()


def test_a_key_that_the_provider_says_back_stands_nowhere(make_road: MakeRoad, provider_server: ProviderServer) -> None:
    road: Road = make_road(keys=KEYS, bounded=False)
    for provider, key in zip(("openai", "anthropic"), KEYS.values(), strict=True):
        message = f"invalid x-api-key: {', '.join(said(key))}"
        how = {"lines": WRONG, "status": 400, "message": message, "type": "invalid_request_error"}
        provider_server.set_fault("line_errored", endpoint=f"{provider}.*", times=1, **how)
    road.produce([f"review {number}" for number in range(RECORDS)])
    submitter, poller = road.submitter(_file(road)), road.poller()
    for sink in ("answers", "others"):
        errors = [record.headers.get("batchline-error") for record in road.wait_for(RECORDS, sink)]
        told = [error.decode() for error in errors if error]
        assert len(told) == WRONG
        assert all("invalid x-api-key: " in error and ("(key)" in error or REDACTED in error) for error in told), told
    # From here on nothing is taken any more, and each refusal tells the key.
    for form, calls in (("whole", "openai.*.create"), ("encoded", "anthropic.*.create"), ("encoded", "*.batches.list")):
        provider_server.set_fault("bad_key", endpoint=calls, times=ANYWAY, said=form)
    road.produce([f"refused {number}" for number in range(RECORDS)])
    with Store.open(road.store) as store:
        wait_until(lambda: len(store.accounts.all_paused()) == len(KEYS), START_SECONDS, "both accounts to be paused")
    shown = [road.poller(*command) for command in (["status", "--json"], ["status"], ["doctor", "--json"], ["doctor"])]
    for command in shown:
        # 4: the doctor asks the providers, and they say the key back too.
        assert command.wait(120) in (0, 3, 4), command.tail()
    submitter.signal(signal.SIGTERM)
    assert submitter.wait(60) == 0, submitter.tail()
    assert poller.terminate() == 0
    assert "Incorrect API key provided: (key)" in shown[0].log.read_text(), "the words are shown, without the key"
    assert any(path.name == "_metadata" for path in road.folder.rglob("checkpoints/**/*")), "a checkpoint is searched"
    assert list(LEAKS.in_files(road.folder)) == []
    assert list(LEAKS.in_tables(road.store)) == []
    topics = _topics(road)
    assert {road.topic(name) for name in ("answers", "others", "batches")} | {PROGRESS_TOPIC} <= set(topics)
    assert [place for topic in topics for place in LEAKS.in_topic(road.broker.bootstrap, topic)] == []
    assert_it_would_be_found(road)


def _file(road: Road) -> Path:
    return road.write(
        road.model(**{"batch.max-age": "2 s"}),
        road.model("calm", "anthropic", **{"batch.max-age": "2 s"}),
        road.insert("others", "calm"),
        road.insert("answers", "echo"),
    )


def _topics(road: Road) -> list[str]:
    names = AdminClient({"bootstrap.servers": road.broker.bootstrap}).list_topics(timeout=10).topics
    return [name for name in names if road.tag in name or name == PROGRESS_TOPIC]


def assert_it_would_be_found(road: Road) -> None:
    """The control: the same words, as the log has them where nothing is redacted."""
    for number, key in enumerate(KEYS.values()):
        log = road.folder / f"unredacted-{number}.log"
        for form in said(key):
            words = {"message": f"Incorrect API key provided: {form}"}
            log.write_text(say(Action.ACCOUNT_PAUSED, logging.WARNING, words, system_clock(), Secrets({})))
            assert list(LEAKS.in_files(road.folder)) == [log.name], form
        log.unlink()
