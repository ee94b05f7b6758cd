"""A prediction in a job of the user's own: the docstring's example runs, pays once, and is what FILE.sql would be."""

import inspect
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pyflink.table import StreamTableEnvironment

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.child import Child
from deploy.sandbox.provider import ProviderServer
from shared.errors import SettingsError
from shared.store import Store
from shared.store.terms import Stated
from submitter import BatchModel, predict
from submitter.pipeline.check import check
from submitter.pipeline.faults import Faults, PipelineError
from submitter.pipeline.flink import open_environment, with_connectors
from submitter.pipeline.values import Statement
from submitter.table_api.asked import Asked
from submitter.table_api.own_query import read_query
from tests.integration.job_files import sealed_rows
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import fill_topic
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

PATIENCE = 120


class Rig:
    """Topics, a spool, a store; and the docstring's example over them."""

    def __init__(self, broker: LocalBroker, make_topic: MakeTopic, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.input, self.sink, self.batches = make_topic("reviews"), make_topic("sentiments"), make_topic("own")
        self.store, self.spool = f"sqlite:///{folder / 'state.db'}", folder / "spool"
        self.environ = {
            "OPENAI_API_KEY": "key-of-the-test",
            "BATCHLINE_BATCHES_TOPIC": f"{self.batches}-batches",
            "BATCHLINE_RETENTION": "30 d",
        }

    def example(self) -> str:
        written = inspect.getdoc(predict) or ""
        start, end = written.index("    import os"), written.index("`model` is a BatchModel")
        text = textwrap.dedent(written[start:end])
        for part, instead in {
            "file:///opt/flink/lib/flink-sql-connector-kafka-5.0.0-2.2.jar": with_connectors({})["pipeline.jars"],
            "enable_checkpointing(30_000)": "enable_checkpointing(1_000)",
            "file:///var/lib/batchline/spool": self.spool.as_uri(),
            "sqlite:////var/lib/batchline/state.db": self.store,
            "localhost:9092": self.broker.bootstrap,
            "'topic' = 'reviews'": f"'topic' = '{self.input}'",
            "'topic' = 'sentiments'": f"'topic' = '{self.sink}'",
            '"batch.max-age": "15 min",': '"batch.max-age": "2 s", "batch.max-enqueued-tokens": "1000000000",',
        }.items():
            assert part in text
            text = text.replace(part, instead)
        return text

    def produce(self, numbers: range) -> None:
        records = ({"review_id": str(number), "review": f"review {number}", "stars": 3} for number in numbers)
        fill_topic(self.broker.bootstrap, self.input, records, key=lambda record: str(record["review_id"]).encode())

    def start(self, processes: Processes, server: ProviderServer) -> Child:
        script = self.folder / "sentiment_job.py"
        script.write_text(self.example())
        environ = {**self.environ, "OPENAI_BASE_URL": server.openai_base_url}
        return processes.start("own", [sys.executable, script], env=environ)

    def submitted(self) -> int:
        if not (self.folder / "state.db").exists():
            return 0
        with Store.open(self.store) as store:
            return sum(batch.records for batch in store.batches.rows() if batch.provider_batch_id)

    def sql(self) -> str:
        """FILE.sql that says the same."""
        text = self.example()
        tables = [part.split("'''")[0] for part in text.split("execute_sql('''")[1:]]
        model = (
            "CREATE MODEL sentiment INPUT (review STRING)"
            " OUTPUT (label STRING COMMENT 'positive or negative', score DOUBLE) WITH ('provider' = 'openai',"
            " 'model' = 'gpt-5-mini', 'api-key' = '${OPENAI_API_KEY}', 'batch.max-age' = '2 s',"
            " 'system-prompt' = 'Classify the sentiment of the review.',"
            " 'batch.max-enqueued-tokens' = '1000000000')"
        )
        asked = "FROM ML_PREDICT(TABLE reviews, MODEL sentiment, DESCRIPTOR(review))"
        settings = [f"SET 'batchline.{name}' = '{value}'" for name, value in self.settings().items()]
        return ";\n".join(
            [*settings, *tables, model, f"INSERT INTO sentiments SELECT review_id, label, score {asked};"]
        )

    def settings(self) -> dict[str, str]:
        return {"pipeline": "review-sentiment", "spool": self.spool.as_uri(), "state-store": self.store}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ProviderServer]:
    with ProviderServer(tmp_path / "provider") as running:
        yield running


@pytest.fixture
def rig(broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Rig:
    return Rig(broker, make_topic, tmp_path)


def wait_for(rig: Rig, records: int, job: Child) -> None:
    def enough() -> bool:
        assert job.running, job.tail()
        return rig.submitted() >= records

    wait_until(enough, PATIENCE, lambda: f"{records} records submitted, there are {rig.submitted()}; {job.tail(60)}")


def test_the_example_runs_and_a_second_one_takes_over_where_it_was(
    rig: Rig, server: ProviderServer, processes: Processes
) -> None:
    rig.produce(range(40))
    first = rig.start(processes, server)
    wait_for(rig, 40, first)
    rig.produce(range(40, 60))
    second = rig.start(processes, server)
    wait_for(rig, 60, second)
    wait_until(lambda: "run 1 of review-sentiment is over" in first.tail(400), PATIENCE, "the first job's end")

    with Store.open(rig.store) as store:
        assert store.terms.of("review-sentiment") == Stated(retention=timedelta(days=30))
        runs = store.lineage.runs("review-sentiment")
        assert [(run.epoch, run.restored_from, run.started_from is not None) for run in runs] == [
            (2, None, True),
            (1, None, True),
        ]
        assert all(run.is_own_job for run in runs)
        (definition,) = store.lineage.used("review-sentiment")
        assert sum(batch.records for batch in store.batches.rows()) == 60
    rows = Counter(
        row["row"]["review_id"] for row in sealed_rows(rig.spool / "review-sentiment" / "sentiments" / "sealed")
    )
    assert set(rows) == {str(number) for number in range(60)}
    assert set(server.witness().bodies().values()) == {1}
    assert sum(server.witness().custom_ids().values()) == 60
    for path in (rig.spool, rig.spool / "review-sentiment"):
        assert path.stat().st_mode & 0o077 == 0, path

    file = rig.folder / "same.sql"
    file.write_text(rig.sql())
    environ = {**os.environ, **rig.environ, "OPENAI_BASE_URL": server.openai_base_url}
    (statement,) = check(file, environ, take_over=True).pipeline.statements
    assert statement.definition == definition
    assert statement.definition.hash == definition.hash


def tables_of(rig: Rig, **settings: str) -> StreamTableEnvironment:
    tables = open_environment({"execution.checkpointing.interval": "1 s"})
    for part in rig.example().split("execute_sql('''")[1:]:
        tables.execute_sql(part.split("'''")[0])
    for name, value in {**rig.settings(), **settings}.items():
        tables.get_config().set(f"batchline.{name}", value)
    return tables


MODEL = BatchModel(
    "sentiment",
    input={"review": "STRING"},
    output={"label": "STRING", "score": "DOUBLE"},
    options={"provider": "openai", "model": "gpt-5-mini", "api-key": "${OPENAI_API_KEY}"},
)


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> None:
    for name, value in rig.environ.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("with_key")
def test_what_is_only_looked_at_begins_nothing(rig: Rig) -> None:
    tables = tables_of(rig)
    tables.execute_sql("CREATE TABLE seen (stars INT) WITH ('connector' = 'blackhole')")
    statements = tables.create_statement_set()
    statements.add_insert_sql("INSERT INTO seen SELECT stars FROM reviews")
    same = predict(
        tables.from_path("reviews"), MODEL, "sentiments", statements=statements, options={"temperature": "0"}
    )
    assert same is statements
    with pytest.raises(SettingsError, match="is in this StatementSet already"):
        predict(tables.from_path("reviews"), MODEL, "sentiments", statements=statements)
    predict(tables.from_path("reviews"), MODEL, "sentiments", statements=statements, pipeline="another")
    plan = statements.explain()
    for part in ("seen", "__batchline_sealed_0", "__batchline_sealed_1", "__batchline_events_1"):
        assert part in plan
    assert [name for name in tables.list_temporary_models() if "batchline" in name] == []
    with Store.open(rig.store) as store:
        assert store.lineage.runs("review-sentiment") == []


@pytest.mark.usefixtures("with_key")
def test_every_fault_is_told_at_once(rig: Rig) -> None:
    tables = tables_of(rig, spol="x")
    tables.execute_sql("ALTER TABLE sentiments ADD (lable STRING)")
    tables.get_config().set("execution.runtime-mode", "batch")
    wrong = BatchModel(
        "sentiment", MODEL.input, MODEL.output, {**MODEL.options, "api-key": "literal", "temprature": "1"}
    )
    statements = tables.create_statement_set()
    with pytest.raises(PipelineError) as caught:
        predict(tables.from_path("reviews"), wrong, "sentiments", statements=statements, options={"endpoint": "x"})
    found = str(caught.value)
    for part in (
        "predict into sentiments: SET 'batchline.spol': there is no such setting; did you mean 'batchline.spool'?",
        "option 'execution.runtime-mode': 'batch' can't be had",
        "the sink's column 'lable' is neither the table's nor the model's; did you mean 'label'?",
    ):
        assert part in found, found
    tables.execute_sql("ALTER TABLE sentiments DROP (lable)")
    with pytest.raises(PipelineError) as caught:
        predict(tables.from_path("reviews"), wrong, "sentiments", statements=statements, options={"endpoint": "x"})
    found = str(caught.value)
    for part in (
        "model sentiment: option 'api-key': a key may not stand in the file",
        "model sentiment: option 'temprature': there is no such option; did you mean 'temperature'?",
        "sentiments: option 'endpoint': a query can't give it",
    ):
        assert part in found, found


@pytest.mark.usefixtures("with_key")
def test_input_without_positions_is_taken_once(rig: Rig) -> None:
    """It is a view then; once something is sealed, a start without state would pay for it again."""
    tables = tables_of(rig)
    few = tables.sql_query("SELECT review_id, review FROM reviews WHERE stars > 3")
    predict(few, MODEL, "sentiments", statements=tables.create_statement_set())
    sealed = rig.spool / "review-sentiment" / "sentiments" / "sealed" / ("0" * 16)
    sealed.mkdir(parents=True)
    (sealed / "part-0-0").write_text("")
    with Store.open(rig.store) as store:
        store.lineage.begin("review-sentiment", definition="d", spool=rig.spool.as_uri())
    with pytest.raises(SettingsError, match=r"would submit, and pay for, all of it again.*batchline\.resubmit"):
        predict(few, MODEL, "sentiments", statements=tables.create_statement_set())
    tables.get_config().set("batchline.resubmit", "true")
    predict(few, MODEL, "sentiments", statements=tables.create_statement_set(), pipeline="review-sentiment")


@pytest.mark.usefixtures("with_key")
def test_a_state_that_another_definition_left_is_refused(rig: Rig) -> None:
    state = rig.folder / "savepoint"
    state.mkdir()
    tables = tables_of(rig)
    tables.get_config().set("execution.state-recovery.path", state.as_uri())
    reviews, statements = tables.from_path("reviews"), tables.create_statement_set()
    with pytest.raises(SettingsError, match="there is no complete checkpoint or savepoint at"):
        predict(reviews, MODEL, "sentiments", statements=statements)
    (state / "_metadata").write_bytes(b"x")
    with Store.open(rig.store) as store:
        store.lineage.begin("review-sentiment", definition="another", spool=rig.spool.as_uri())
    with pytest.raises(SettingsError, match=r"can't go on from .*savepoint: the definition has changed"):
        predict(reviews, MODEL, "sentiments", statements=statements)


def test_texts_of_python_mean_what_they_mean_in_a_file(rig: Rig) -> None:
    tables, key = tables_of(rig), "sk-proj-abcdefghijklmnop"
    environ = {"OPENAI_API_KEY": "key-of-the-test", "WHICH": "gpt-5-mini", "HOW": "0.5"}

    def read(options: dict[str, str], model: BatchModel | str = MODEL) -> tuple[Statement | None, list[str]]:
        faults, settings = Faults(), {"pipeline": "pipe"}
        asked = Asked(model, "sentiments", options=options)
        statement, _ = read_query(tables, tables.from_path("reviews"), asked, settings, environ, faults)
        return statement, [fault.text("predict") for fault in faults.errors]

    named = replace(MODEL, options={**MODEL.options, "model": "${WHICH}"})
    statement, said = read({"temperature": "${HOW}"}, named)
    assert statement is not None, said
    assert (statement.definition.model.model, statement.definition.model.parameters["temperature"]) == (
        "gpt-5-mini",
        0.5,
    )
    assert {each.name: each.value for each in statement.options if each.name in ("model", "temperature")} == {
        "model": "${WHICH}",
        "temperature": "${HOW}",
    }
    open_ = replace(MODEL, options={**MODEL.options, "batch.extra-body": f'{{"user": "{key}"}}'})
    _, said = read({"system-prompt": f"The key is {key}.", "seed": "${NOT_SET}"}, open_)
    text = "\n".join(said)
    assert key not in text
    for part in (
        "model sentiment: option 'batch.extra-body': a string holds what looks like a provider's key",
        "sentiments: option 'system-prompt': a string holds what looks like a provider's key",
        "sentiments: option 'seed': ${NOT_SET} is not set",
    ):
        assert part in text
    tables.execute_sql(
        "CREATE TEMPORARY MODEL known INPUT (review STRING) OUTPUT (label STRING, score DOUBLE) WITH ("
        "'provider' = 'openai', 'model' = '${WHICH}', 'api-key' = '${OPENAI_API_KEY}')"
    )
    _, said = read({}, "known")
    assert [each.partition(":")[2].partition(" would")[0] for each in said] == [
        " model known: option 'model': '${WHICH}'"
    ]


def test_a_password_of_the_environment_is_stored_as_its_name() -> None:
    tables = open_environment({})
    password = "pass'word of the test"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    jaas = f"""{login} username="me" password="{password}";""".replace("'", "''")
    kafka = f"""'connector' = 'kafka', 'format' = 'json', 'scan.startup.mode' = 'earliest-offset',
        'properties.bootstrap.servers' = 'nowhere:9092', 'properties.sasl.mechanism' = 'PLAIN',
        'properties.security.protocol' = 'SASL_SSL', 'properties.sasl.jaas.config' = '{jaas}'"""
    tables.execute_sql(f"CREATE TABLE reviews (id STRING, review STRING) WITH ('topic' = 'reviews', {kafka})")
    tables.execute_sql(f"CREATE TABLE answers (id STRING, label STRING) WITH ('topic' = 'answers', {kafka})")
    asked, reviews = Asked(MODEL, "answers"), tables.from_path("reviews")

    def read(environ: dict[str, str], asked: Asked = asked) -> tuple[Statement | None, Faults]:
        faults = Faults()
        environ = {"OPENAI_API_KEY": "key-of-the-test", **environ}
        return read_query(tables, reviews, asked, {"pipeline": "pipe"}, environ, faults)[0], faults

    for name in ("KAFKA_PASSWORD", "WHATEVER_IT_IS_CALLED"):
        statement, faults = read({name: password})
        assert statement is not None, faults.errors
        assert statement.definition.sink.kafka["sasl.password"] == f"${{{name}}}"
        assert "pass'word" not in statement.definition.canonical().decode()
    told = Asked(replace(MODEL, options={**MODEL.options, "system-prompt": f"Say {password}."}), "answers")
    _, faults = read({"WHATEVER_IT_IS_CALLED": password}, told)
    assert [fault.message.partition(" would")[0] for fault in faults.errors] == [
        "the value of ${WHATEVER_IT_IS_CALLED}"
    ]
    nothing, faults = read({"SOME_PASSWORD": "another-one"})
    assert nothing is None
    assert {fault.place.statement for fault in faults.errors} == {"input reviews", "sink answers"}
    for fault in faults.errors:
        assert fault.place.option == "properties.sasl.jaas.config"
        assert "as a variable" in fault.message
        assert "pass'word" not in fault.message
