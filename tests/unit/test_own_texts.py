"""The texts of a prediction in Python: references as in a file, keys refused."""

import pytest

from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.kafka_properties import passwords
from submitter.pipeline.references import credentials
from submitter.table_api.own_texts import OwnTexts

ENVIRON = {"OPENAI_API_KEY": "the-openai-key", "MODEL": "gpt-5-mini", "TOP_SECRET": "hunter22"}
MODEL = Place(statement="model sentiment")
KEY = "sk-proj-abcdefghijklmnop"


def said(faults: Faults) -> list[str]:
    return [fault.text("job.py") for fault in faults.errors]


def test_every_option_may_refer_to_the_environment() -> None:
    faults = Faults()
    texts = OwnTexts(ENVIRON, faults)
    given = {"api-key": "${OPENAI_API_KEY}", "model": "${MODEL}", "system-prompt": "For ${MODEL}: judge."}
    assert texts.options(given, MODEL) == {
        "api-key": "${OPENAI_API_KEY}",
        "model": "gpt-5-mini",
        "system-prompt": "For gpt-5-mini: judge.",
    }
    assert texts.unresolved == {"gpt-5-mini": "${MODEL}", "For gpt-5-mini: judge.": "For ${MODEL}: judge."}
    assert said(faults) == []


def test_one_that_is_not_set_is_named_with_its_option() -> None:
    faults = Faults()
    OwnTexts(ENVIRON, faults).options({"model": "${NOT_SET}"}, MODEL)
    assert said(faults) == [
        "job.py: model sentiment: option 'model': ${NOT_SET} is not set: export the environment variable NOT_SET"
    ]


def test_a_secret_s_value_is_in_no_message() -> None:
    faults = Faults()
    OwnTexts(ENVIRON, faults).options({"system-prompt": "${TOP_SECRET}"}, MODEL)
    faults.add("hunter22 is wrong")
    assert said(faults) == ["job.py: ${TOP_SECRET} is wrong"]


def test_a_key_in_any_option_is_refused_and_not_shown() -> None:
    faults = Faults()
    texts = OwnTexts(ENVIRON, faults)
    texts.options({"batch.extra-body": f'{{"user": "{KEY}"}}', "api-key": "literal"}, MODEL)
    texts.refuse_keys({"properties.client.id": KEY, "topic": "reviews"}, Place(statement="table reviews"))
    extra, client = said(faults)
    assert extra.startswith("job.py: model sentiment: option 'batch.extra-body': a string holds what looks like")
    assert client.startswith("job.py: table reviews: option 'properties.client.id': a string holds what looks like")
    assert KEY not in extra + client


def test_a_model_of_the_catalog_has_its_values_already() -> None:
    faults = Faults()
    OwnTexts(ENVIRON, faults).refuse_references({"api-key": "${OPENAI_API_KEY}", "model": "${MODEL}"}, MODEL)
    (only,) = said(faults)
    assert only.startswith("job.py: model sentiment: option 'model': '${MODEL}' would be sent as it is")


LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required username='me' password="


@pytest.mark.parametrize(
    ("jaas", "environ", "is_told"),
    [
        (f'{LOGIN}"a-password";', {"PW": "a-password"}, False),
        (f'{LOGIN}"quo\\"te-and-more";', {"PW": 'quo"te-and-more'}, False),
        (f'{LOGIN}"a-password";', {"OTHER": "b-password"}, True),
        (f'{LOGIN}"a-password";', {"KAFKA_JAAS": f'{LOGIN}"a-password";'}, True),
    ],
    ids=["by its name", "escaped", "of nobody", "only within a whole login"],
)
def test_an_input_s_password_stands_in_a_variable_of_its_own(jaas: str, environ: dict[str, str], is_told: bool) -> None:
    faults, options = Faults(), {"topic": "reviews", "properties.sasl.jaas.config": jaas}
    known = credentials(environ, passwords(options))
    OwnTexts(environ, faults).refuse_passwords(options, known, Place(statement="input reviews"))
    assert [each.partition(": a password")[0] for each in said(faults)] == (
        ["job.py: input reviews: option 'properties.sasl.jaas.config'"] if is_told else []
    )
    assert "a-password" not in "".join(said(faults))
