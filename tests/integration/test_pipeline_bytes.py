"""Whatever bytes FILE.sql holds, there is one clear error with its line, and never a stack of calls."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.text_file import NoText
from submitter.pipeline.check import check
from submitter.pipeline.faults import PipelineError
from tests.integration.pipeline_files import ENVIRON, WHOLE, line_of, reading_of

UNREADABLE: list[tuple[bytes, str]] = [
    (b"SET 'a' = 'b';\n\xff\xfe", "file.sql:2: the file can't be read: byte 15 is no UTF-8"),
    (b"-- \xed\xa0\x80", "file.sql:1: the file can't be read: byte 3 is no UTF-8"),
    (WHOLE.encode("utf-16"), "file.sql:1: the file can't be read: byte 0 is no UTF-8"),
    (WHOLE.encode() + b"\x00", "the control character U+0000 stands in it"),
    (b"SET '\x1b]0;title\x07' = '';", "file.sql:1: the file can't be read: the control character U+001B"),
    (b"-" * 50_000_000, "the file can't be read: it has more than"),
]
DEEP = 5_000
NESTED = (
    "CREATE VIEW deep AS SELECT " + "(" * DEEP + "1" + ")" * DEEP + " AS one;",
    "CREATE TABLE t (c " + "ARRAY<" * DEEP + "INT" + ">" * DEEP + ") WITH ('connector' = 'datagen');",
)


@pytest.mark.parametrize(("data", "said"), UNREADABLE)
def test_bytes_that_are_no_text_are_said_with_their_line(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "file.sql"
    file.write_bytes(data)
    with pytest.raises(PipelineError) as caught:
        check(file, ENVIRON)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_nested_without_end_is_said(tmp_path: Path) -> None:
    text = WHOLE + "\n".join(NESTED)
    errors = reading_of(tmp_path, text).faults.errors
    assert {line_of(text, statement) for statement in NESTED} == {error.place.line for error in errors}, errors
    assert {error.message for error in errors} == {"Flink can't parse it: it is nested too deeply"}


TOKENS = ["'", '"', "`", ";", "(", ")", "--", "/*", "*/", "${BROKER}", "${", "SET", "INSERT", "ML_PREDICT(", "=", ","]
TOKENS += ["\n", "\x0c", "U&'\\", "_utf8'", "é😀", "\u202e", "WITH", "CREATE MODEL", "SELECT", "NULL", "1e999"]


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_file_into_which_anything_was_put_is_read_or_has_faults_without_a_secret(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = WHOLE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 30)))
        text = text[:start] + data.draw(st.sampled_from(TOKENS) | st.text(max_size=5)) + text[end:]
    folder = tmp_path_factory.getbasetemp()
    try:
        found = reading_of(folder, text).faults
    except NoText as error:
        said = [str(error)]
    else:
        said = [fault.text("file.sql") for fault in (*found.errors, *found.warnings)]
        lines = text.count("\n") + text.count("\r") + 1
        assert all(fault.place.line is None or 1 <= fault.place.line <= lines for fault in found.errors)
    for message in said:
        assert "the-openai-key" not in message
        assert "Traceback" not in message
