"""The SQL that seals an input."""

from submitter.job.sealing import Branch, Positioned, Rolling, insert, specific_offsets, ticks
from submitter.sql import free_name, literal, quote


def test_only_missing_metadata_columns_are_declared() -> None:
    made = Positioned("t", "`c`.`d`.`x`", {"connector": "kafka", "topic": "a"}, {"__offset": "offset"})
    assert made.ddl() == (
        "CREATE TEMPORARY TABLE `t` (`__offset` BIGINT METADATA FROM 'offset' VIRTUAL)"
        " WITH ('connector' = 'kafka', 'topic' = 'a') LIKE `c`.`d`.`x` (EXCLUDING OPTIONS)"
    )


def test_a_table_that_declares_them_all_gets_no_empty_schema() -> None:
    assert "`t` WITH" in Positioned("t", "`x`", {"a": "b"}, {}).ddl()


def test_names_never_clash() -> None:
    assert free_name("__offset", ["__offset", "__offset_"]) == "__offset__"


def test_quotes_are_doubled() -> None:
    assert (quote("a`b"), literal("it's")) == ("`a``b`", "'it''s'")


def test_each_topic_has_its_number_and_the_endless_source_closes_the_query() -> None:
    branches = [Branch("`t0`", 0, "p", "o"), Branch("`t1`", 1, "p", "o")]
    made = insert("s", [("id", "INT")], branches)
    assert made.count("UNION ALL") == 2
    assert "ARRAY[CAST(1 AS BIGINT), CAST(`p` AS BIGINT), CAST(`o` AS BIGINT)] FROM `t1`" in made
    assert made.endswith("FROM `__batchline_endless` WHERE never < 0")


def test_an_input_without_positions_has_none() -> None:
    assert "CAST(NULL AS ARRAY<BIGINT>) FROM `v`" in insert("s", [("id", "INT")], [Branch("`v`")])


def test_offsets_are_given_by_partition() -> None:
    assert specific_offsets({1: 5, 0: 7}) == {
        "scan.startup.mode": "specific-offsets",
        "scan.startup.specific-offsets": "partition:0,offset:7;partition:1,offset:5",
    }


def test_only_a_bounded_input_closes_its_file_when_rows_stay_away() -> None:
    endless, bounded = Rolling(900, 1024, bounded=False), Rolling(900, 1024, bounded=True)
    assert endless.options()["sink.rolling-policy.inactivity-interval"] == "900000 ms"
    assert bounded.options()["sink.rolling-policy.inactivity-interval"] == "3000 ms"
    assert bounded.settled_after == 3.5


def test_a_short_age_is_checked_often_enough() -> None:
    options = Rolling(1, 1024, bounded=False).options()
    assert options["sink.rolling-policy.check-interval"] == "100 ms"


def test_every_statement_ticks() -> None:
    assert ticks(["a", "b"]).count("AS name FROM `__batchline_ticks`") == 2
