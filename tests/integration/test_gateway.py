import threading

from submitter.gateway import gateway
from submitter.pipeline.flink import open_environment


def java_thread() -> int:
    return int(gateway().jvm.java.lang.Thread.currentThread().getId())


def test_each_python_thread_keeps_its_java_thread() -> None:
    mine, others, stop, begun = {java_thread()}, set[int](), threading.Event(), threading.Event()

    def call() -> None:
        while not stop.is_set():
            others.add(java_thread())
            begun.set()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        assert begun.wait(30)
        mine |= {java_thread() for _ in range(500)}
    finally:
        stop.set()
        thread.join()
    assert (len(mine), len(others)) == (1, 1)
    assert mine != others


def test_the_planner_works_while_another_thread_is_amid_a_call() -> None:
    tables = open_environment({})
    tables.execute_sql("CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen')")
    client = gateway()._gateway_client
    taken = []
    thread = threading.Thread(target=lambda: taken.append(client._get_connection()))
    thread.start()
    thread.join()
    assert taken
    assert "numbers" in tables.explain_sql("SELECT n, COUNT(*) FROM numbers GROUP BY n")


def test_a_finaliser_amid_a_call_goes_another_way() -> None:
    mine, client = java_thread(), gateway()._gateway_client
    connection = client._get_connection()
    try:
        assert java_thread() != mine
    finally:
        client._give_back_connection(connection)
    assert java_thread() == mine
