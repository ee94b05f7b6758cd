import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.units import duration, seconds, size
from submitter.pipeline.faults import Fault, Faults, PipelineError, Place, nearest
from submitter.pipeline.positions import Positions
from submitter.pipeline.references import (
    credentials,
    is_credential,
    is_secret,
    looks_secret,
    reference,
    referenced,
    resolved,
    unresolved,
    url_password,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("15 min", 900), ("15min", 900), ("2 h", 7200), ("1 DAY", 86400), ("500 ms", 0.5), ("30 seconds", 30)],
)
def test_a_duration_is_written_as_flink_writes_it(text: str, expected: float) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["15", "", "min", "15 lightyears", "-3 s", "1.5 h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no unit|duration"):
        duration(text)


def test_a_bare_number_is_seconds_only_where_the_poller_says_so() -> None:
    assert seconds("900") == 900
    assert seconds("15 min") == 900
    with pytest.raises(ValueError, match="write '900 s'"):
        duration("900")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64 mb", 64 << 20), ("64MB", 64 << 20), ("900", 900), ("1 g", 1 << 30), ("2 kibibytes", 2048)],
)
def test_a_size_is_written_as_flink_writes_it(text: str, expected: int) -> None:
    assert size(text) == expected


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="64 mb"):
        size("many")


def test_references_are_found_and_resolved() -> None:
    assert referenced("a ${A} b ${B_1} ${not one} $C {{ d }} ${{ e }}") == ("A", "B_1")
    assert resolved("${A}-${B}", {"A": "x"}) == "x-${B}"
    assert resolved("'${A}'", {"A": "it's"}, lambda value: value.replace("'", "''")) == "'it''s'"
    assert reference(" ${A} ") == "A"
    assert reference("Bearer ${A}") is None


def test_a_resolved_value_is_not_resolved_again() -> None:
    assert resolved("${A}", {"A": "${B}", "B": "secret"}) == "${B}"


def test_secrets_are_told_by_their_form() -> None:
    assert looks_secret("'sk-proj-abcdefghijklmnop'")
    assert not looks_secret("'ask-me-anything-about-it'")
    assert url_password("postgresql+psycopg://me:secret@host/db") == "secret"
    assert url_password("postgresql+psycopg://me:${PG}@host/db") is None
    assert url_password("sqlite:////var/lib/state.db") is None
    assert is_secret("KAFKA_PASSWORD", "host:9092")
    assert not is_secret("BROKER", "one:9092,two:9092")
    assert is_secret("DB", "postgresql://me:secret@host/db")


def test_a_fault_names_its_place() -> None:
    fault = Fault("it is missing", Place(12, "model m", "api-key"))
    assert fault.text("a.sql") == "a.sql:12: model m: option 'api-key': it is missing"
    assert Fault("nothing to send").text("a.sql") == "a.sql: nothing to send"
    assert str(PipelineError("a.sql", [fault, fault])).count("\n") == 1


def test_faults_are_collected_once_and_hide_secrets() -> None:
    faults = Faults()
    faults.hide("hunter22", "${PW}")
    faults.add("the password hunter22 is wrong", Place(1))
    faults.add("the password hunter22 is wrong", Place(1))
    assert [fault.message for fault in faults.errors] == ["the password ${PW} is wrong"]


def test_the_nearest_name_is_suggested() -> None:
    assert nearest("batch.max_age", ["batch.max-age", "model"]) == "; did you mean 'batch.max-age'?"
    assert nearest("zebra", ["batch.max-age"]) == ""


@given(
    st.text(alphabet="ab😀é\t", max_size=20), st.sampled_from(["\n", "\r\n", "\r"]), st.text(alphabet="x😀", max_size=5)
)
def test_positions_count_utf16_units(before: str, end: str, start: str) -> None:
    text = before + end + start + "!"
    column = len(start.encode("utf-16-le")) // 2 + 1
    assert text[Positions(text).offset(2, column)] == "!"
    assert Positions(text).line(len(text) - 1) == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *dict.fromkeys(
            ["OPENAI_API_KEY", "AZURE_KEY", "KEY2", "HF_TOKEN", "DB_PASS", "PGPASSWORD", "MY_PWD"], True
        ).items(),
        *dict.fromkeys(
            ["KAFKA_JAAS", "PASSPHRASE", "passwd", "AWS_SECRET", "SSH_PRIVATE", "CREDENTIALS"], True
        ).items(),
        *dict.fromkeys(["PWD", "OLDPWD", "KEY_COLUMN", "KEYBOARD", "PASSENGERS", "BROKER", "HOME"], False).items(),
    ],
)
def test_a_secret_s_name_is_told_in_one_way(name: str, *, expected: bool) -> None:
    assert is_credential(name) is expected
    assert is_secret(name, "host:9092") is expected


def test_what_stands_as_a_password_is_one_whatever_its_variable_is_called() -> None:
    environ = {"LOGIN": "abcdefgh", "A_SECRET": "abcdefgh", "MY_LOGIN": "another-one", "SHORT": "abc"}
    known = credentials(environ, ["another-one", "abc", "elsewhere"])
    assert known == {"abcdefgh": "${A_SECRET}", "another-one": "${MY_LOGIN}"}


def test_a_credential_of_the_environment_stands_for_itself() -> None:
    environ = {"A_TOKEN": "abcdefgh", "B_PASSWORD": "abcdefgh-longer", "SHORT_SECRET": "abc", "HOME": "/home/somebody"}
    known = credentials(environ)
    assert known == {"abcdefgh": "${A_TOKEN}", "abcdefgh-longer": "${B_PASSWORD}"}
    assert (
        unresolved("a abcdefgh-longer b abcdefgh /home/somebody", known)
        == "a ${B_PASSWORD} b ${A_TOKEN} /home/somebody"
    )
