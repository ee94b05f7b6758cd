"""Row 20 for requests of several records: however their answer is spoilt, each record comes out once, as itself."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from deploy.sandbox.provider.answers import embedding, prompt_hash
from deploy.sandbox.provider.server import ProviderServer
from poller.alarms import Kind
from shared.definition import Column, Projected, SqlType
from shared.messages import Header
from shared.spool import REQUESTS
from shared.store import Batch
from tests.faults.road import MakeRoad, Road
from tests.rig.asking import Road as SyncRoad
from tests.rig.samples import STRING

RECORDS, SIZE = 10, 4
_HASH = re.compile(r"\b[0-9a-f]{64}\b")
ECHO = Column(name="echo", type=SqlType(root="VARCHAR", nullable=False, length=2**31 - 1))
"""The provider's model answers it with the hash of the record's own text."""
PROJECTION = (
    Projected(name="review_id", source="input", column="review_id", type=STRING),
    Projected(name="label", source="output", column="echo", type=ECHO.type),
)

MakePacked = Callable[..., Road]


@pytest.fixture
def packed(make_road: MakeRoad, server: ProviderServer) -> MakePacked:
    """Roads whose requests hold four records: `packed("openai", response_on_error="split")`."""

    def make(
        provider: str = "openai",
        model: dict[str, Any] | None = None,
        projection: tuple[Projected, ...] = PROJECTION,
        columns: tuple[Column, ...] | None = None,
        **options: Any,
    ) -> Road:
        asked = {"system_prompt": "Repeat it.", "output": (ECHO,), **(model or {})}
        changes = {"projection": projection}
        road = make_road(server, provider, batch_options={"size": SIZE, **options}, model=asked, changes=changes)
        if columns is not None:
            road.stage.sink = {**road.stage.sink, "columns": columns}
        return road

    return make


def check(road: Road, family: list[Batch], failed: dict[int, str] | None = None, records: int = RECORDS) -> None:
    """Every record is out once, with the answer to its own text, or with its cause; every batch adds up."""
    causes = failed or {}
    outputs = road.outputs(records)
    told = {}
    for record in outputs:
        number = int((record.headers[Header.POSITION] or b"").rpartition(b"/")[2])
        error = record.headers.get(Header.ERROR)
        told[number] = error.decode().partition(":")[0] if error else _HASH.findall(record.json()["label"])
    assert told == {n: causes.get(n, [prompt_hash(road.text(n))]) for n in range(records)}
    assert len(outputs) == records
    for batch in family:
        assert batch.records == batch.succeeded + batch.failed + batch.carried, batch
    assert sum(batch.failed for batch in family) == len(causes)


def lines(road: Road, batch: Batch) -> list[dict[str, Any]]:
    """The batch's requests."""
    folder = road.stage.spool.batch(batch.pipeline, batch.statement, batch.batch_key)
    data = road.stage.spool.files.read(f"{folder}/{REQUESTS}") or b""
    return [orjson.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize(
    ("provider", "form"), [("openai", None), ("anthropic", None), ("openai", "xml"), ("anthropic", "delimited")]
)
def test_row_20_several_records_share_a_request(packed: MakePacked, provider: str, form: str | None) -> None:
    road = packed(provider, response_format=form)
    road.fault("packed_spoilt", how="shuffled", share=1.0)
    family = road.bring(RECORDS)
    assert [(batch.requests, batch.records) for batch in family] == [(3, RECORDS)]
    check(road, family)
    headers = [(record.headers[Header.REQUEST], record.headers[Header.INDEX]) for record in road.outputs(RECORDS)]
    key = family[0].batch_key
    assert Counter(headers) == Counter((f"{key}-{n // SIZE}".encode(), b"%d" % (n % SIZE + 1)) for n in range(RECORDS))


@pytest.mark.parametrize("how", ["prefaced", "duplicated", "unknown"])
def test_row_20_what_is_clear_in_spite_of_all_is_not_asked_again(packed: MakePacked, how: str) -> None:
    road = packed()
    road.fault("packed_spoilt", how=how, share=1.0)
    family = road.bring(RECORDS)
    assert len(family) == 1
    check(road, family)
    odd = (family[0].duplicate_entries, family[0].unknown_entries, family[0].forgiven_answers)
    assert odd == {"duplicated": (3, 0, 0), "unknown": (0, 3, 0), "prefaced": (0, 0, 3)}[how]


@pytest.mark.parametrize(
    ("how", "form"),
    [
        ("contradicted", None),
        ("from_zero", None),
        ("contradicted", "xml"),
        ("from_zero", "xml"),
        ("dropped", "delimited"),
        ("from_zero", "delimited"),
    ],
)
def test_row_20_what_is_not_clear_is_asked_again(packed: MakePacked, how: str, form: str | None) -> None:
    road = packed(response_format=form)
    road.fault("packed_spoilt", how=how, numbers=[2])
    family = road.bring(RECORDS)
    carried = SIZE if how == "from_zero" else 1
    assert [(batch.requests, batch.records, batch.retries) for batch in family] == [(3, RECORDS, 0), (1, carried, 1)]
    check(road, family)


def test_row_20_a_value_of_a_wrong_type_is_its_own_record_s_error(packed: MakePacked) -> None:
    road = packed(model={"output": (ECHO, Column(name="score", type=SqlType(root="DOUBLE", nullable=False)))})
    road.fault("packed_spoilt", how="wrong_type", numbers=[2])
    family = road.bring(RECORDS)
    check(road, family, {SIZE: "schema"})


@pytest.mark.parametrize(
    ("on_error", "child"),
    [("retry", (1, SIZE, 1, "batch")), ("split", (2, SIZE, 0, "batch")), ("individual", (SIZE, SIZE, 0, "sync"))],
)
def test_row_20_an_answer_that_can_t_be_read(packed: MakePacked, on_error: str, child: tuple[Any, ...]) -> None:
    road = packed(response_on_error=on_error)
    road.fault("packed_spoilt", how="broken", numbers=[2])
    family = SyncRoad(road.stage).finish(road.back, road.stage.plan(RECORDS))
    assert [(batch.requests, batch.records, batch.retries, batch.mode) for batch in family[1:]] == [child]
    assert family[0].unreadable_answers == 1
    assert [each.kind for each in road.status().attention if each.subject == family[0].batch_key] == [
        Kind.UNEXPECTED_RESULTS
    ]
    check(road, family)
    bodies = [line["body"] for line in lines(road, family[0])]
    again = [line["body"] for line in lines(road, family[1])]
    assert (again == [bodies[1]]) == (on_error == "retry"), "what is carried whole is the same, byte for byte"


def test_row_20_an_answer_that_can_t_be_read_comes_out_with_nulls_where_that_is_wanted(packed: MakePacked) -> None:
    road = packed(response_on_error="null")
    road.fault("packed_spoilt", how="broken", numbers=[2])
    family = road.bring(RECORDS)
    assert len(family) == 1
    check(road, family, dict.fromkeys(range(SIZE, 2 * SIZE), "schema"))


def test_row_20_halving_ends_with_the_record_that_is_at_fault(packed: MakePacked) -> None:
    """Whichever request holds it is answered with noise, or refused: the others go through without it."""
    for fault, options, cause in (
        ("packed_spoilt", {"how": "broken"}, "schema"),
        ("line_errored", {"status": 400, "type": "invalid_request_error"}, "rejected"),
    ):
        road = packed(response_on_error="split", max_retries=0)
        road.fault(fault, times=None, contains=f"review 6 of {road.tag}", **options)
        family = road.bring(RECORDS)
        check(road, family, {6: cause})
        assert [batch.records for batch in family] == [RECORDS, SIZE, 2], fault
        road.server.clear_faults()


def test_row_05_a_packed_line_that_fails_its_batch_is_halved_down_to_its_record(packed: MakePacked) -> None:
    road = packed()
    road.fault("bad_line_fails_batch", times=None, contains=f"review 6 of {road.tag}")
    family = road.bring(RECORDS)
    check(road, family, {6: "invalid-line"})


def test_row_20_of_a_cut_answer_what_is_whole_is_kept(packed: MakePacked) -> None:
    road = packed(response_on_error="split")
    road.fault("cut_at_max_tokens", numbers=[2])
    family = road.bring(RECORDS)
    check(road, family)
    assert 0 < family[0].carried < SIZE


def test_row_20_inputs_of_one_embeddings_request_get_their_own_vectors(packed: MakePacked) -> None:
    vector = Column(name="vector", type=SqlType(root="ARRAY", nullable=False, element=SqlType(root="FLOAT")))
    model = {
        "task": "embeddings",
        "path": "/v1/embeddings",
        "model": "text-embedding-3-small",
        "system_prompt": None,
        "parameters": {"dimension": 8},
        "output": (vector,),
    }
    projection = (PROJECTION[0], Projected(name="vector", source="output", column="vector", type=vector.type))
    columns = (Column(name="review_id", type=STRING), vector)
    road = packed(model=model, projection=projection, columns=columns)
    family = road.bring(RECORDS)
    assert [(batch.requests, batch.records) for batch in family] == [(3, RECORDS)]
    told = {int(record.json()["review_id"]): record.json()["vector"] for record in road.outputs(RECORDS)}
    assert told == {n: pytest.approx(embedding(road.text(n), 8)) for n in range(RECORDS)}


def test_row_20_packs_are_asked_one_by_one_where_there_are_no_batches(packed: MakePacked) -> None:
    road = packed(mode="sync")
    road.fault("packed_spoilt", how="dropped")
    family = SyncRoad(road.stage).finish(road.back, road.stage.plan(RECORDS))
    assert [(batch.requests, batch.records, batch.mode) for batch in family] == [(3, RECORDS, "sync"), (1, 1, "sync")]
    check(road, family)
