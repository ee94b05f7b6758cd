"""One file, five models over one source: packed, one by one, Anthropic, embeddings, and the synchronous endpoint."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import create_engine, text

from deploy.demo.reviews import read_reviews
from tests.acceptance.conftest import MakeRoad
from tests.acceptance.road import START_SECONDS, Road

RECORDS, PACK, DIMENSION = 100, 20, 64
SENTIMENT, VECTOR = "label STRING, score DOUBLE", "vector ARRAY<FLOAT>"
OPENAI = {"provider": "openai", "model": "gpt-5-mini", "api-key": "${OPENAI_API_KEY}"}
MODELS: dict[str, tuple[str, dict[str, str]]] = {
    "packed": (SENTIMENT, {**OPENAI, "batch.size": str(PACK)}),
    "single": (SENTIMENT, OPENAI),
    "claude": (
        SENTIMENT,
        {"provider": "anthropic", "model": "claude-haiku-4-5", "api-key": "${ANTHROPIC_API_KEY}"},
    ),
    "embedded": (
        VECTOR,
        {
            **OPENAI,
            "model": "text-embedding-3-small",
            "endpoint": "${OPENAI_BASE_URL}/embeddings",
            "dimension": str(DIMENSION),
        },
    ),
    "asked": (SENTIMENT, {**OPENAI, "batch.mode": "sync"}),
}
"""OUTPUT columns and options, by the names of model and sink."""


def test_five_models_over_one_source(make_road: MakeRoad) -> None:
    road: Road = make_road()
    for name in MODELS:
        road.create_topic(name)
    road.produce([review.text for review in read_reviews(RECORDS)])
    sql = road.write(
        *(part for name, (output, options) in MODELS.items() for part in _statements(road, name, output, options))
    )
    submitter, poller = road.submitter(sql), road.poller()
    assert submitter.wait(START_SECONDS) == 0, submitter.tail()
    answers = {name: _answers(road, name) for name in MODELS}
    assert poller.terminate() == 0

    # The sandbox's answer to a review is a real model's, the same by every road: a wrong pairing would show.
    for name in ("packed", "claude", "asked"):
        assert answers[name] == answers["single"], name
    assert len({value["score"] for value in answers["single"].values()}) > RECORDS // 4
    assert all(len(value["vector"]) == DIMENSION for value in answers["embedded"].values())
    assert len({tuple(value["vector"]) for value in answers["embedded"].values()}) == len(set(road.produced))
    sent = _requests(road)
    # Each of the source's partitions may end in a file, and a request, of its own.
    assert RECORDS // PACK <= sent.pop("packed") <= 2 * RECORDS // PACK
    assert sent == {"single": RECORDS, "claude": RECORDS, "embedded": RECORDS, "asked": 0}


def _statements(road: Road, name: str, output: str, options: Mapping[str, str]) -> list[str]:
    given = ", ".join(f"'{option}' = '{value}'" for option, value in {**options, "batch.max-age": "5 s"}.items())
    columns = ", ".join(column.split()[0] for column in output.split(", "))
    return [
        f"CREATE MODEL {name} INPUT (review STRING) OUTPUT ({output}) WITH ({given});",
        f"""CREATE TABLE of_{name} (id INT, {output}) WITH ('connector' = 'kafka', 'topic' = '{road.topic(name)}',
        'properties.bootstrap.servers' = '${{KAFKA}}', 'key.format' = 'json', 'key.fields' = 'id',
        'value.format' = 'json');""",
        f"INSERT INTO of_{name} SELECT id, {columns} FROM ML_PREDICT(TABLE reviews, MODEL {name}, DESCRIPTOR(review));",
    ]


def _answers(road: Road, name: str) -> dict[int, dict[str, Any]]:
    """What came out for each record, once, without its id."""
    records = road.wait_for(RECORDS, name)
    assert {record.headers["batchline-status"] for record in records} == {b"succeeded"}
    values = [record.json() for record in records]
    found = {value.pop("id"): value for value in values}
    assert len(records) == len(found) == RECORDS, name
    return found


def _requests(road: Road) -> dict[str, int]:
    """The requests in batches at the provider, by statement."""
    engine = create_engine(road.store)
    sent = "sum(CASE WHEN provider_batch_id IS NULL THEN 0 ELSE requests END)"
    query = text(f"SELECT statement, {sent} FROM batches GROUP BY statement")
    with engine.connect() as connection:
        found = {str(statement).removeprefix("of_"): int(requests) for statement, requests in connection.execute(query)}
    engine.dispose()
    return found
