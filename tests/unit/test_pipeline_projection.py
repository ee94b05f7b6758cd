from typing import Any

import pytest

from shared.definition import Column, SqlType
from submitter.pipeline.catalog_values import CatalogColumn, CatalogTable
from submitter.pipeline.projection import BeyondUs, Scope, projection, targets

TYPES = {
    "VARCHAR(2147483647)": SqlType(root="VARCHAR", length=2**31 - 1),
    "VARCHAR(3)": SqlType(root="VARCHAR", length=3),
    "CHAR(1) NOT NULL": SqlType(root="CHAR", length=1, nullable=False),
    "DOUBLE": SqlType(root="DOUBLE"),
    "DOUBLE NOT NULL": SqlType(root="DOUBLE", nullable=False),
    "FLOAT": SqlType(root="FLOAT"),
    "INT NOT NULL": SqlType(root="INTEGER", nullable=False),
    "BIGINT": SqlType(root="BIGINT"),
    "DECIMAL(3, 2) NOT NULL": SqlType(root="DECIMAL", precision=3, scale=2, nullable=False),
    "TIMESTAMP(3)": SqlType(root="TIMESTAMP_WITHOUT_TIME_ZONE", precision=3),
    "TIMESTAMP(3) WITH LOCAL TIME ZONE": SqlType(root="TIMESTAMP_WITH_LOCAL_TIME_ZONE", precision=3),
}
TEXT, DOUBLE = TYPES["VARCHAR(2147483647)"], TYPES["DOUBLE"]
SCOPE = Scope((Column(name="id", type=TEXT),), (Column(name="label", type=TEXT), Column(name="score", type=DOUBLE)))


def node(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"stream-exec-{kind}_1", **more}


def plan(*fields: dict[str, Any], condition: Any = None, more: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    calc = [node("calc", projection=list(fields), condition=condition)] if fields else []
    return {"nodes": [node("table-source-scan"), *calc, *more, node("sink", dynamicTableSink={"abilities": None})]}


def ref(index: int) -> dict[str, Any]:
    return {"kind": "INPUT_REF", "inputIndex": index, "type": "unused"}


def cast(inner: dict[str, Any], type_: str) -> dict[str, Any]:
    return {"kind": "CALL", "internalName": "$CAST$1", "operands": [inner], "type": type_}


def literal(value: Any, type_: str) -> dict[str, Any]:
    return {"kind": "LITERAL", "value": value, "type": type_}


def sink(*types: SqlType) -> list[Column]:
    return [Column(name=f"c{number}", type=type_) for number, type_ in enumerate(types)]


def test_columns_literals_and_casts() -> None:
    fields = [ref(0), cast(ref(2), "FLOAT"), literal("x", "CHAR(1) NOT NULL"), cast(cast(ref(1), "DOUBLE"), "BIGINT")]
    made, wrong = projection(plan(*fields), sink(TEXT, TYPES["FLOAT"], TEXT, TYPES["BIGINT"]), SCOPE, TYPES.__getitem__)
    assert not wrong
    assert [(each.source, each.column, each.literal) for each in made] == [
        ("input", "id", None),
        ("output", "score", None),
        ("literal", None, "x"),
        ("output", "label", None),
    ]
    assert [[step.root for step in each.casts] for each in made] == [[], ["FLOAT"], [], ["DOUBLE", "BIGINT"]]
    assert [each.name for each in made] == ["c0", "c1", "c2", "c3"]


def test_without_a_calc_node_the_columns_pass_as_they_are() -> None:
    made, wrong = projection(plan(), sink(TEXT, TEXT, DOUBLE), SCOPE, TYPES.__getitem__)
    assert not wrong
    assert [each.column for each in made] == ["id", "label", "score"]


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (5, "BIGINT", 5),
        ("1E+3", "DOUBLE", 1000.0),
        ("1.25", "DECIMAL(3, 2) NOT NULL", "1.25"),
        (None, "DOUBLE", None),
        ("2020-01-01 00:00:00.123", "TIMESTAMP(3)", "2020-01-01 00:00:00.123"),
    ],
)
def test_literals_keep_their_value(value: Any, type_: str, expected: Any) -> None:
    made, wrong = projection(plan(literal(value, type_)), sink(TYPES[type_]), SCOPE, TYPES.__getitem__)
    assert not wrong
    assert made[0].literal == expected


def test_a_cast_that_only_changes_what_may_be_null_is_left_out() -> None:
    fields = cast(literal("0.5", "DOUBLE NOT NULL"), "DOUBLE")
    made, _ = projection(plan(fields), sink(DOUBLE), SCOPE, TYPES.__getitem__)
    assert made[0].casts == ()


def test_a_row_whose_fields_have_other_names_is_cast_to_the_sinks() -> None:
    ours, theirs = (SqlType(root="ROW", fields=(Column(name=name, type=TEXT),)) for name in ("a", "b"))
    scope = Scope((), (Column(name="r", type=ours),))
    made, wrong = projection(plan(), sink(theirs), scope, TYPES.__getitem__)
    assert not wrong
    assert made[0].casts == (theirs,)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ({"kind": "CALL", "internalName": "$||$1", "operands": [], "type": "DOUBLE"}, "it takes ||"),
        ({"kind": "CALL", "internalName": "$TRY_CAST$1", "operands": [ref(1)], "type": "FLOAT"}, "it takes TRY_CAST"),
        ({"kind": "CALL", "catalogName": "`c`.`d`.`mine`", "operands": [], "type": "FLOAT"}, "mine"),
        (literal("2020-01-01 00:00:00", "TIMESTAMP(3) WITH LOCAL TIME ZONE"), "can't be written"),
        (cast(ref(0), "TIMESTAMP(3) WITH LOCAL TIME ZONE"), "CAST from VARCHAR to TIMESTAMP_WITH_LOCAL_TIME_ZONE"),
    ],
)
def test_what_only_flink_could_compute_is_named(expression: dict[str, Any], said: str) -> None:
    _, wrong = projection(plan(expression, ref(1)), sink(DOUBLE, TEXT), SCOPE, TYPES.__getitem__)
    assert len(wrong) == 1
    assert wrong[0].startswith("column 'c0': ")
    assert said in wrong[0]


def test_a_plan_with_more_than_a_projection_is_refused() -> None:
    with pytest.raises(BeyondUs, match="group-aggregate"):
        projection(plan(ref(0), more=(node("group-aggregate"),)), sink(TEXT), SCOPE, TYPES.__getitem__)
    with pytest.raises(BeyondUs, match="condition"):
        projection(plan(ref(0), condition={"kind": "CALL"}), sink(TEXT), SCOPE, TYPES.__getitem__)


def test_a_sinks_metadata_comes_after_its_physical_columns() -> None:
    columns = (
        CatalogColumn("a", TEXT, "STRING"),
        CatalogColumn("h", TEXT, "STRING", kind="metadata", metadata_key="headers"),
        CatalogColumn("p", TEXT, "STRING", kind="metadata", persisted=False, metadata_key="partition"),
        CatalogColumn("b", TEXT, "STRING"),
    )
    table = CatalogTable(("c", "d", "t"), view=False, options={}, columns=columns)
    made = plan()
    made["nodes"][-1]["dynamicTableSink"]["abilities"] = [{"type": "WritingMetadata", "metadataKeys": ["headers"]}]
    assert [column.name for column in targets(made, table)] == ["a", "b", "h"]
