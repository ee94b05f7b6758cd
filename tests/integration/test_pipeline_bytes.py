"""Whatever bytes FILE.sql holds, there is one clear error with its line, and never a stack of calls."""

from pathlib import Path

import pytest

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
DEEP = 20_000
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
