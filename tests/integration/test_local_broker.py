"""The local broker: Kafka itself, which keeps port and data over a SIGKILL, and creates no topic by itself."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from deploy.sandbox.broker import BrokerError, LocalBroker
from deploy.sandbox.topics import TopicSettings
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import fill_topic, read_topic


def test_records_come_back_in_order_from_every_partition(broker: LocalBroker, make_topic: MakeTopic) -> None:
    topic = make_topic("numbers", TopicSettings(partitions=3))
    assert fill_topic(broker.bootstrap, topic, ({"n": n} for n in range(1000)), key=lambda v: b"%d" % v["n"]) == 1000
    records = read_topic(broker.bootstrap, topic)
    assert sorted(record.json()["n"] for record in records) == list(range(1000))
    assert {record.partition for record in records} == {0, 1, 2}
    assert [(r.partition, r.offset) for r in records] == sorted((r.partition, r.offset) for r in records)


def test_an_open_transaction_is_seen_only_uncommitted(broker: LocalBroker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"aborted", headers={"why": b"test"})
    producer.flush(30)
    assert read_topic(broker.bootstrap, topic) == []
    [seen] = read_topic(broker.bootstrap, topic, "read_uncommitted")
    assert (seen.value, seen.headers) == (b"aborted", {"why": b"test"})
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce(topic, b"committed")
    producer.commit_transaction(30)
    assert [record.value for record in read_topic(broker.bootstrap, topic, at_least=1)] == [b"committed"]


def test_reading_waits_no_longer_than_its_deadline(broker: LocalBroker, make_topic: MakeTopic) -> None:
    with pytest.raises(TimeoutError, match="0 records"):
        read_topic(broker.bootstrap, make_topic(), at_least=1, deadline=0.5)


def test_no_topic_comes_to_life_by_itself(broker: LocalBroker) -> None:
    failures: list[KafkaError | None] = []
    # librdkafka waits this long for the topic to appear; the default is half a minute.
    patience = {"topic.metadata.propagation.max.ms": 100, "message.timeout.ms": 3000}
    producer = Producer({"bootstrap.servers": broker.bootstrap, **patience})
    producer.produce("nobody-made-this", b"x", on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(10) == 0
    unknown = (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert [failure.code() in unknown for failure in failures if failure] == [True]


def test_creating_a_topic_again_changes_nothing_and_a_bad_setting_is_refused(
    broker: LocalBroker, make_topic: MakeTopic
) -> None:
    topic = make_topic("again", TopicSettings(cleanup="compact"))
    broker.create_topics({topic: TopicSettings(cleanup="compact")})
    with pytest.raises(KafkaException, match=r"INVALID_CONFIG|Unknown topic config"):
        make_topic("bad", TopicSettings(config={"no.such.setting": "1"}))


def test_port_and_data_outlive_a_sigkill_and_a_restart(own_broker: LocalBroker) -> None:
    address = own_broker.bootstrap
    own_broker.create_topics({"kept": TopicSettings(partitions=2)})
    fill_topic(address, "kept", [b"one", b"two"])
    own_broker.kill()
    own_broker.restart()
    fill_topic(address, "kept", [b"three"])
    own_broker.restart()
    assert own_broker.bootstrap == address
    assert {record.value for record in read_topic(address, "kept")} == {b"one", b"two", b"three"}


def test_missing_jars_are_named_with_the_remedy(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("jars")
    with pytest.raises(BrokerError, match="make setup"):
        LocalBroker(jars=empty)
