"""Trials and estimates: what the real road asks and answers, without Kafka where nothing is read from it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console

from deploy.rehearsal.estimating import Prices, estimate
from deploy.rehearsal.folder import Folder, rehearsal_folder
from deploy.rehearsal.live import ask, filling
from deploy.rehearsal.printing import quote_text, tried_text
from deploy.rehearsal.quote import Quote
from deploy.rehearsal.sample import Sample
from deploy.rehearsal.trial import TrialFailed, attempt
from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from shared.definition import BatchOptions, Definition
from shared.errors import MissingCredential
from tests.integration.pipeline_files import ENVIRON, INSERT, MODEL, SETTINGS, SINK, WHOLE
from tests.rig.fixtures import MakeTopic
from tests.rig.processes import Processes, console_script
from tests.rig.samples import definition, sealed_line
from tests.rig.stage import ENVIRON as KEYS

ROOT = Path(__file__).parents[2]
PUBLISHED = Prices()
ROWS = [{"id": "1", "review": "A wonderful film."}, {"id": "2", "review": " "}, {"id": "3", "review": "Awful, bad."}]


@pytest.fixture
def folder(server: ProviderServer) -> Iterator[Folder]:
    server.clear_faults()
    with rehearsal_folder() as made:
        yield made
    server.clear_faults()


def lines(*reviews: str | None) -> list[bytes]:
    return [sealed_line(number, review, None) for number, review in enumerate(reviews)]


def test_every_row_comes_out_in_order_with_its_answer_or_its_cause(server: ProviderServer, folder: Folder) -> None:
    stated = definition(model={"base_url": server.openai_base_url})
    tried = attempt(folder, stated, lines("A wonderful film.", None, "Awful, bad."), KEYS)
    assert [each.row["label"] for each in tried.messages] == ["positive", None, "negative"]
    assert [each.answered for each in tried.messages] == [True, False, True]
    assert (tried.messages[1].error or "").startswith("null-input: ")
    assert [each.key for each in tried.messages] == [b'{"review_id":"%d"}' % number for number in range(3)]
    bodies = [orjson.loads(request)["body"]["messages"][-1]["content"] for request in tried.requests]
    assert bodies == ["A wonderful film.", "Awful, bad."]
    assert (tried.records, tried.failed) == (3, 1)
    assert tried.sync_usd
    assert tried.batch_usd == pytest.approx(tried.sync_usd / 2)
    used = sum(each.input_tokens for each in server.witness().billed())
    assert used >= tried.input_tokens > 0


def test_what_fails_at_the_provider_is_asked_again_and_no_row_is_lost(server: ProviderServer, folder: Folder) -> None:
    server.set_fault("http_5xx", endpoint="openai.chat.completions", times=2, status=500)
    stated = definition(model={"base_url": server.openai_base_url})
    tried = attempt(folder, stated, lines("good", "bad", "good"), KEYS)
    assert [each.answered for each in tried.messages] == [True] * 3


def test_a_key_that_is_refused_ends_the_trial_and_says_so(server: ProviderServer, folder: Folder) -> None:
    server.set_fault("bad_key", endpoint="openai.chat.completions")
    stated = definition(model={"base_url": server.openai_base_url})
    with pytest.raises(TrialFailed, match="no answers: account: "):
        attempt(folder, stated, lines("good"), KEYS)


def test_a_key_that_is_missing_is_named(server: ProviderServer, folder: Folder) -> None:
    stated = definition(model={"base_url": server.openai_base_url})
    with pytest.raises(MissingCredential, match="OPENAI_API_KEY"):
        attempt(folder, stated, lines("good"), {})


def quote_of(
    stated: Definition, prices: Prices = PUBLISHED, records: int | None = None, total: int | None = 300
) -> Quote:
    sample = Sample(tuple(lines(*["A film of many words, and a good one."] * 49, None)), total)
    return estimate(stated, sample, KEYS, "sqlite:////nowhere/at/all.db", prices, records)


def test_an_estimate_is_planned_as_the_road_plans_and_scaled() -> None:
    quote = quote_of(definition())
    assert (quote.sampled, quote.refused, quote.records, quote.is_guess) == (50, 1, 300, False)
    roads = {road.road: road for road in quote.roads}
    assert set(roads) == {"synchronous", "batch", "packed synchronous", "packed batch"}
    assert roads["batch"].requests == 294
    assert roads["packed batch"].requests < 50
    assert (roads["batch"].batches, roads["synchronous"].batches, roads["batch"].seconds) == (1, None, 86_400)
    costs = {road.road: road.cost_usd or 0.0 for road in quote.roads}
    assert costs["batch"] * 2 == pytest.approx(costs["synchronous"])
    assert costs["packed batch"] < costs["batch"]


def test_an_estimate_says_what_nobody_knows_and_takes_a_users_word() -> None:
    assert quote_of(definition(), total=None).is_guess
    assert quote_of(definition(), total=None).records == 50
    assert quote_of(definition(), records=5_000, total=None).records == 5_000
    unknown = quote_of(definition(model={"model": "nobody-knows-it"}))
    assert {road.cost_usd for road in unknown.roads} == {None}
    told = quote_of(definition(model={"model": "nobody-knows-it"}), Prices(input=1.0, output=0.0))
    (batch,) = (road for road in told.roads if road.road == "batch")
    assert batch.cost_usd == pytest.approx(batch.input_tokens / 1_000_000 / 2)


def test_a_packed_file_is_also_estimated_record_by_record_and_an_own_prompt_only_as_it_is() -> None:
    packed = quote_of(definition(batch=BatchOptions(size=10)))
    assert [road.requests for road in packed.roads] == [294, 294, 30, 30]
    once = quote_of(definition(batch=BatchOptions(size=10, deduplicate=True, response_tokens=20)))
    assert [(road.requests, road.output_tokens) for road in once.roads[2:]] == [(6, 6 * 20)] * 2, (
        "asked once, paid once"
    )
    assert packed.without_packed is None


def test_roads_that_are_missing_have_a_reason() -> None:
    templated = quote_of(definition(batch=BatchOptions(prompt="{{ review }}")))
    assert [road.road for road in templated.roads] == ["synchronous", "batch"]
    told = StringIO()
    quote_text([templated], Console(width=120, file=told))
    assert "no packed roads: 'batch.prompt' is for one record" in told.getvalue()
    media = quote_of(definition(batch=BatchOptions(media_columns=("review",))))
    assert [road.road for road in media.roads] == ["synchronous", "batch"]
    assert "images" in (media.without_packed or "")


def test_instructions_in_a_packed_prompt_are_paid_for_with_each_record_that_is_asked_alone() -> None:
    guide = "Judge the mood of a review by its words, and by nothing else. " * 40
    each = "{% for r in records %}{{ r.index }}: {{ r.review }}\n{% endfor %}"
    in_prompt = quote_of(definition(batch=BatchOptions(size=10, prompt=guide + each)))
    in_system = quote_of(definition(model={"system_prompt": guide}, batch=BatchOptions(size=10)))
    assert [road.requests for road in in_prompt.roads] == [300, 300, 30, 30]
    for alone, other in zip(in_prompt.roads[:2], in_system.roads[:2], strict=True):
        assert alone.input_tokens == pytest.approx(other.input_tokens, rel=0.1)
    tokens = {road.road: road.input_tokens for road in in_prompt.roads}
    assert tokens["packed batch"] < tokens["batch"] / 5
    costs = {road.road: road.cost_usd or 0.0 for road in in_prompt.roads}
    assert costs["packed batch"] < costs["batch"]


@pytest.mark.parametrize("size", [3, 1])
def test_a_canary_is_so_many_whole_requests(server: ProviderServer, size: int) -> None:
    server.clear_faults()
    stated = definition(model={"base_url": server.openai_base_url}, batch=BatchOptions(size=size))
    sample = lines("good", None, *["good"] * 9)
    said: list[str] = []
    first = filling(stated, sample, 2, KEYS)
    tried = ask(stated, first, KEYS, said.append)
    assert len(tried.requests) == 2
    assert [each.answered for each in tried.messages] == [True, False, *[True] * (2 * size - 1)]
    assert f"for {2 * size + 1} records in 2 requests: about $0.00" in said[0]
    assert filling(stated, sample, 100, KEYS) == sample


def test_a_canary_shows_answers_that_cannot_be_read(server: ProviderServer) -> None:
    server.clear_faults()
    server.set_fault("packed_spoilt", endpoint="openai.chat.completions", how="broken")
    stated = definition(model={"base_url": server.openai_base_url}, batch=BatchOptions(size=2, max_retries=0))
    try:
        tried = ask(stated, filling(stated, lines("good", "bad", "good"), 1, KEYS), KEYS, lambda _: None)
    finally:
        server.clear_faults()
    text = "\n".join(tried_text(tried))
    assert (tried.records, tried.failed) == (2, 2)
    assert "2 records in 1 requests" in text
    assert "failed: schema" in text
    assert "2 of 2 records failed" in text
    assert text.count("the model said: ") == 1, "an answer to both is shown once"
    assert all('"results";' in (each.said or "") for each in tried.messages)


def test_try_needs_no_broker_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "file.sql").write_text(WHOLE)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    command: list[str | Path] = [console_script("submitter"), "try", "file.sql", "--rows", "rows.jsonl", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [each["row"]["label"] for each in told["messages"]] == ["positive", None, "negative"]
    assert (told["schema_version"], told["failed"], len(told["requests"])) == (1, 1, 2)
    assert told["messages"][0]["headers"]["batchline-status"] == "succeeded"
    assert told["batch_usd"] * 2 == pytest.approx(told["sync_usd"])


def test_try_live_asks_the_model_itself_for_the_first_rows(tmp_path: Path, server: ProviderServer) -> None:
    server.clear_faults()
    (tmp_path / "file.sql").write_text(WHOLE)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    command: list[str | Path] = [console_script("submitter"), "try", "file.sql", "--rows", "rows.jsonl", "--live", "2"]
    environ = {**os.environ, **ENVIRON, "OPENAI_BASE_URL": server.openai_base_url}
    before = sum(1 for _ in server.witness().billed())
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"asking {server.openai_base_url} for 2 records in 1 requests: about $" in done.stdout
    assert '"label":"positive"' in done.stdout
    assert "failed: empty-input" in done.stdout
    assert sum(1 for _ in server.witness().billed()) - before == 1


def test_the_fixture_gives_users_the_same(tmp_path: Path) -> None:
    (tmp_path / "file.sql").write_text(WHOLE)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["deploy.rehearsal.fixtures"]\n')
    (tmp_path / "test_mine.py").write_text(
        "def test_it(rehearse):\n"
        f"    tried = rehearse('file.sql', {ROWS!r})\n"
        "    assert [each.row['label'] for each in tried.messages] == ['positive', None, 'negative']\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_an_estimate_reads_a_sample_joins_no_group_and_a_canary_really_asks(
    tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic, server: ProviderServer, processes: Processes
) -> None:
    server.clear_faults()
    source, sink, batches = make_topic("reviews"), make_topic("results"), make_topic("batches")
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(300):
        producer.produce(source, json.dumps({"id": str(number), "review": f"A film of {number} words, good."}))
    producer.flush(30)
    text = WHOLE.replace("'topic' = 'reviews'", f"'topic' = '{source}', 'properties.group.id' = 'mine'")
    text = text.replace("'topic' = 'results'", f"'topic' = '{sink}'").replace("/nowhere/", f"{tmp_path}/")
    text += f"SET 'batchline.batches-topic' = '{batches}-2';"
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "rows.json").write_text("\n".join(json.dumps(row) for row in ROWS))
    text += f"""
CREATE TABLE files (id STRING, review STRING) WITH ('connector' = 'filesystem', 'path' = 'file://{tmp_path}/input',
  'format' = 'json');
CREATE VIEW shouted AS SELECT id, UPPER(review) AS review FROM files;
INSERT INTO results SELECT id, label, score FROM ML_PREDICT(TABLE shouted, MODEL judge, DESCRIPTOR(review));
"""
    (tmp_path / "file.sql").write_text(text)
    environ = {**ENVIRON, "BROKER": broker.bootstrap, "OPENAI_BASE_URL": server.openai_base_url}
    arguments = ["estimate", "file.sql", "--rows", "50", "--json", "--canary", "2"]
    before = sum(1 for _ in server.witness().billed())
    child = processes.command("submitter", *arguments, env=environ, cwd=tmp_path)
    assert child.wait(300) == 0, child.tail()
    told = json.loads(child.tail(1_000_000)[child.tail(1_000_000).index("{") :])
    quote, of_files = told["statements"]
    assert (of_files["sampled"], of_files["records"], of_files["is_guess"], of_files["refused"]) == (3, 3, False, 1)
    assert (quote["sampled"], quote["records"], quote["is_guess"], quote["refused"]) == (50, 300, False, 0)
    roads = {road["road"]: road for road in quote["roads"]}
    assert roads["batch"]["requests"] == roads["synchronous"]["requests"] == 300
    assert roads["batch"]["cost_usd"] * 2 == pytest.approx(roads["synchronous"]["cost_usd"])
    assert roads["packed batch"]["requests"] < 300
    assert roads["packed batch"]["cost_usd"] < roads["batch"]["cost_usd"]
    canary, canary_of_files = told["canary"]
    assert [each["answered"] for each in canary["messages"]] == [True, True]
    assert [each["answered"] for each in canary_of_files["messages"]] == [True, False, True]
    assert sum(1 for _ in server.witness().billed()) - before == 4
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert "mine" not in {group.group_id for group in admin.list_consumer_groups().result().valid}
    assert not (tmp_path / "state.db").exists()


def test_the_command_shows_a_canary_that_cannot_be_read(
    tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic, server: ProviderServer, processes: Processes
) -> None:
    (tmp_path / "input").mkdir()
    rows = [{"id": str(number), "review": f"A film of {number} words."} for number in range(6)]
    (tmp_path / "input" / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    source = f"'connector' = 'filesystem', 'path' = 'file://{tmp_path}/input', 'format' = 'json'"
    text = f"{SETTINGS}CREATE TABLE reviews (id STRING, review STRING) WITH ({source});{MODEL}{SINK}{INSERT}"
    text = text.replace("/nowhere/", f"{tmp_path}/").replace(
        "'topic' = 'results'", f"'topic' = '{make_topic('results')}'"
    )
    text = text.replace(
        "'model' = 'gpt-5-mini'", "'model' = 'gpt-5-mini', 'batch.size' = '2', 'batch.max-retries' = '0'"
    )
    text += f"SET 'batchline.batches-topic' = '{make_topic('batches')}-2';"
    (tmp_path / "file.sql").write_text(text)
    environ = {**ENVIRON, "BROKER": broker.bootstrap, "OPENAI_BASE_URL": server.openai_base_url}
    server.clear_faults()
    server.set_fault("packed_spoilt", endpoint="openai.chat.completions", how="broken")
    try:
        child = processes.command("submitter", "estimate", "file.sql", "--canary", "2", env=environ, cwd=tmp_path)
        assert child.wait(300) == 0, child.tail()
    finally:
        server.clear_faults()
    told = child.tail(1_000_000)
    assert f"asking {server.openai_base_url} for 4 records in 2 requests: about $" in told
    assert told.count("failed: schema") == 4, told
    assert "4 of 4 records failed" in told
    assert "there is no JSON in it that holds entries" in told
    assert told.count('the model said: {"results";[{"index";1,') == 2, told
