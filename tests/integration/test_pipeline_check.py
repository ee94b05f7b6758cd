from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.topics import TopicSettings
from shared.store import Store
from shared.topics import cluster_id
from submitter.pipeline.check import Checked, check
from submitter.pipeline.explain import explain
from submitter.pipeline.faults import PipelineError
from tests.integration.pipeline_files import ENVIRON, INSERT, WHOLE, line_of
from tests.rig.fixtures import MakeTopic
from tests.rig.objects import ObjectStore
from tests.rig.stores import plan

# A port that is reserved and never served.
NOBODY = "127.0.0.1:1"


class Rig:
    """A file, and all that it relies on."""

    def __init__(self, folder: Path, broker: LocalBroker, make_topic: MakeTopic) -> None:
        self.folder, self.broker = folder, broker
        self.input, self.sink = make_topic("reviews"), make_topic("results")
        self.batches = make_topic("batches", TopicSettings(cleanup="compact"))
        self.environ: Mapping[str, str] = {**ENVIRON, "BROKER": broker.bootstrap}
        self.text = (
            WHOLE.replace("'topic' = 'reviews'", f"'topic' = '{self.input}'")
            .replace("'topic' = 'results'", f"'topic' = '{self.sink}'")
            .replace("file:///nowhere/spool", f"file://{folder}/spool")
            .replace("sqlite:////nowhere/state.db", f"sqlite:///{folder}/state.db")
            + f"SET 'batchline.batches-topic' = '{self.batches}';"
        )

    def check(self, *, name: str = "file.sql") -> Checked:
        (self.folder / name).write_text(self.text)
        return check(self.folder / name, self.environ)

    def faults(self) -> PipelineError:
        with pytest.raises(PipelineError) as caught:
            self.check()
        return caught.value


@pytest.fixture
def rig(tmp_path: Path, broker: LocalBroker, make_topic: MakeTopic) -> Rig:
    return Rig(tmp_path, broker, make_topic)


def test_the_source_is_known_by_its_ids(rig: Rig) -> None:
    (statement,) = rig.check().pipeline.statements
    client = {"bootstrap.servers": rig.broker.bootstrap}
    admin = AdminClient(dict(client))
    described = admin.describe_topics(TopicCollection([rig.input]))[rig.input].result(10)
    source = statement.definition.source
    assert source is not None
    assert source.topics == ((rig.input, str(described.topic_id)),)
    assert source.cluster_id == cluster_id(client)


def test_a_check_leaves_nothing_behind(rig: Rig) -> None:
    rig.check()
    assert sorted(path.name for path in rig.folder.iterdir()) == ["file.sql"]


def test_a_file_is_explained_without_secrets(rig: Rig) -> None:
    said = explain(rig.check().pipeline)
    for part in (
        "pipeline reviews-of-films",
        "statement results (line",
        f"topic {rig.input} of cluster",
        "openai gpt-5-mini at https://api.openai.com/v1, for /v1/chat/completions, key ${OPENAI_API_KEY}",
        "prompt      <review>",
        "label STRING, score DOUBLE, by the JSON schema",
        "at most 50,000 requests",
        "id = input id, label = output label, score = output score",
        "come out in the sink",
    ):
        assert part in said
    assert "the-openai-key" not in said


def test_a_compacted_sink_without_a_key_is_refused(rig: Rig, make_topic: MakeTopic) -> None:
    compacted = make_topic("compacted", TopicSettings(cleanup="compact"))
    rig.text = rig.text.replace(rig.sink, compacted)
    assert not rig.check().pipeline.warnings
    rig.text = rig.text.replace("'key.format' = 'json', 'key.fields' = 'id', ", "")
    (fault,) = rig.faults().faults
    assert fault.place.line == line_of(rig.text, INSERT.strip())
    assert f"topic {compacted} at {rig.broker.bootstrap} is compacted and takes no message without a key" in (
        fault.message
    )
    assert not fault.away


def test_a_compacted_error_topic_is_warned_about_where_records_have_no_key(rig: Rig, make_topic: MakeTopic) -> None:
    errors = make_topic("errors", TopicSettings(cleanup="compact"))
    rig.text = rig.text.replace("'gpt-5-mini'", f"'gpt-5-mini', 'batch.error-topic' = '{errors}'")
    assert not rig.check().pipeline.warnings
    rig.text = rig.text.replace("'key.format' = 'json', 'key.fields' = 'id', ", "")
    (warning,) = rig.check().pipeline.warnings
    assert f"topic {errors} at {rig.broker.bootstrap} is compacted" in warning.message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, []),
        ({"message.timestamp.before.max.ms": "60000"}, ["more than 60 s old"]),
        ({"message.timestamp.after.max.ms": "1000"}, ["more than 1 s ahead"]),
        ({"message.timestamp.type": "LogAppendTime"}, ["LogAppendTime"]),
    ],
)
def test_what_a_topic_does_to_timestamps_of_records_is_warned_about(
    rig: Rig, make_topic: MakeTopic, settings: dict[str, str], said: list[str]
) -> None:
    timed = make_topic("timed", TopicSettings(config=settings))
    plain = rig.text.replace(rig.sink, timed).replace("written TIMESTAMP(3)", "written TIMESTAMP_LTZ(3)")
    rig.text = plain
    assert not rig.check().pipeline.warnings
    rig.text = plain.replace(
        "results (id STRING, label STRING, score DOUBLE)",
        "results (id STRING, label STRING, score DOUBLE, written TIMESTAMP_LTZ(3) METADATA FROM 'timestamp')",
    ).replace("SELECT id, label, score FROM", "SELECT id, label, score, written FROM")
    warnings = rig.check().pipeline.warnings
    assert len(warnings) == len(said)
    for warning, part in zip(warnings, said, strict=True):
        assert part in warning.message
        assert "column 'written'" in warning.message


def test_a_name_that_another_file_uses_is_refused(rig: Rig) -> None:
    rig.check()
    with Store.open(f"sqlite:///{rig.folder}/state.db") as store:
        store.lineage.claim_name("reviews-of-films", str((rig.folder / "file.sql").resolve()))
    rig.check()
    with pytest.raises(PipelineError, match=r"used by .*file\.sql in this state store"):
        rig.check(name="other.sql")
    check(rig.folder / "other.sql", rig.environ, take_over=True)


def test_missing_topics_and_a_forgetful_batches_topic_are_told_at_once(rig: Rig) -> None:
    rig.text = rig.text.replace(rig.input, "not-here").replace(rig.sink, "nor-there").replace(rig.batches, rig.input)
    rig.text = rig.text.replace("'gpt-5-mini'", "'gpt-5-mini', 'batch.error-topic' = 'lost-errors'")
    error = rig.faults()
    found = str(error).splitlines()
    for topic in ("not-here", "nor-there", "lost-errors"):
        assert any(f"there is no topic {topic} at {rig.broker.bootstrap}" in fault for fault in found)
    assert any("has cleanup.policy=delete" in fault for fault in found)
    assert len(found) == 4
    assert not error.away


def test_what_is_away_is_told_beside_other_faults(rig: Rig) -> None:
    (rig.folder / "flat").write_text("")
    rig.environ = {**rig.environ, "BROKER": NOBODY}
    rig.text = rig.text.replace(f"file://{rig.folder}/spool", f"file://{rig.folder}/flat/spool").replace(
        f"sqlite:///{rig.folder}/state.db", "postgresql+psycopg://me@127.0.0.1:1/state"
    )
    found = str(rig.faults())
    assert f"Kafka at {NOBODY} does not answer" in found
    assert "the state store postgresql+psycopg://me@127.0.0.1:1/state can't be used" in found
    assert f"{rig.folder}/flat is no folder" in found


def test_what_is_away_alone_is_told_apart(rig: Rig) -> None:
    rig.environ = {**rig.environ, "BROKER": NOBODY}
    assert rig.faults().away


def test_a_spool_in_a_store_is_probed(rig: Rig, object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    rig.text = rig.text.replace(f"file://{rig.folder}/spool", f"s3://{bucket}/spool")
    assert rig.check().pipeline.settings.spool == f"s3://{bucket}/spool"
    assert object_store.keys(bucket) == []
    rig.text = rig.text.replace(bucket, f"{bucket}-gone")
    found = str(rig.faults())
    assert f"SET 'batchline.spool': s3://{bucket}-gone/spool can't be reached" in found
    assert "bucket does not exist" in found


def test_a_variable_that_is_not_set_is_told_once_for_each_place(rig: Rig) -> None:
    rig.environ = {name: value for name, value in rig.environ.items() if name != "BROKER"}
    assert str(rig.faults()).count("BROKER") == 2 * rig.text.count("${BROKER}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"nothing\.sql: the file can't be read"):
        check(tmp_path / "nothing.sql", ENVIRON)


def test_an_insert_above_another_into_the_same_sink_is_refused_and_one_below_is_not(rig: Rig) -> None:
    (statement,) = rig.check().pipeline.statements
    stated = statement.definition
    with Store.open(f"sqlite:///{rig.folder}/state.db") as store:
        store.lineage.put_definition(stated)
        made = plan("sealed-0", pipeline=stated.pipeline, statement=stated.statement, definition=stated.hash)
        assert store.plans.commit(made)
    more = "INSERT INTO results SELECT id, label, 1 FROM ML_PREDICT(TABLE reviews, MODEL judge, DESCRIPTOR(id));"
    whole = rig.text
    rig.text = whole.replace(INSERT, f"{INSERT}\n{more}")
    assert [each.name for each in rig.check().pipeline.statements] == ["results", "results-2"]
    rig.text = whole.replace(INSERT, f"{more}\n{INSERT}")
    (fault,) = rig.faults().faults
    assert fault.place.line == line_of(rig.text, INSERT.strip())
    assert "this statement was 'results' so far and would be 'results-2' now" in fault.message
