"""The two-step form: what ML_PREDICT's projection can't say, a second, plain query over the results topic does.

It also shows that any Flink job reads the results back with the sink's own DDL, whatever their types.
"""

import signal

from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import Road, sha256


def test_a_plain_query_reads_the_results_back_with_the_same_ddl(make_road: MakeRoad) -> None:
    road: Road = make_road(bounded=False)
    road.produce([f"review {number}" for number in range(50)])
    typed = f"""CREATE TABLE typed (id INT, price DECIMAL(10, 2), rated_at TIMESTAMP(3), is_new BOOLEAN, answer STRING)
        WITH ('connector' = 'kafka', 'topic' = '{road.topic("typed")}', 'properties.bootstrap.servers' = '${{KAFKA}}',
              'key.format' = 'json', 'key.fields' = 'id', 'value.format' = 'json',
              'properties.isolation.level' = 'read_committed');"""
    predict = """INSERT INTO typed
        SELECT id, CAST(id AS DECIMAL(10, 2)), CAST('2026-01-02 03:04:05.678' AS TIMESTAMP(3)), TRUE, answer
        FROM ML_PREDICT(TABLE reviews, MODEL echo, DESCRIPTOR(review));"""
    plain = """INSERT INTO answers
        SELECT id, CONCAT_WS('|', CAST(price AS STRING), CAST(rated_at AS STRING), CAST(is_new AS STRING),
                             UPPER(answer))
        FROM typed /*+ OPTIONS('scan.startup.mode' = 'earliest-offset') */ WHERE id >= 10;"""
    road.create_topic("typed")
    sql = road.write(typed, road.model(**{"batch.max-age": "1 s"}), predict, plain)
    submitter, poller = road.submitter(sql), road.poller()
    read_back = {record.json()["id"]: record.json()["answer"] for record in road.wait_for(40)}
    submitter.signal(signal.SIGTERM)
    assert submitter.wait(60) == 0, submitter.tail()
    assert poller.terminate() == 0
    assert sorted(read_back) == list(range(10, 50))
    for number, text in read_back.items():
        expected = f"{number}.00|2026-01-02 03:04:05.678|TRUE|SHA256={sha256(f'review {number}').upper()} "
        assert text.startswith(expected), text
