"""A file that a person wrote may hold any bytes: it is read, or it is said in which line it can't be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.kafka import load_clusters
from shared.text_file import NoText, read_text

MOST = 1000
WRONG = [
    (b"one\n\xff", 2, "no UTF-8"),
    (b"one\r\ntwo\r\n\xed\xa0\x80", 3, "no UTF-8"),
    ("SET".encode("utf-16"), 1, "no UTF-8"),
    (b"one\n\n\x00", 3, r"U\+0000"),
    (b"one\ntwo\x1b[2J", 2, r"U\+001B"),
    ("one\u009b31m".encode(), 1, r"U\+009B"),
    (b"x" * (MOST + 1), None, "more than 1,000 bytes"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "file"


@pytest.mark.parametrize(("data", "line", "why"), WRONG)
def test_what_is_no_text_is_said_with_its_line(file: Path, data: bytes, line: int | None, why: str) -> None:
    file.write_bytes(data)
    with pytest.raises(NoText, match=why) as caught:
        read_text(file, MOST)
    assert caught.value.line == line


def test_a_mark_at_the_beginning_and_any_line_end_are_read(file: Path) -> None:
    file.write_bytes("\ufeffone\r\ntwo\rthree\té \u202e\n".encode())
    assert read_text(file, MOST) == "one\ntwo\nthree\té \u202e\n"


PIECES = [
    b"a",
    b"\xc3\xa9",
    b"\xc3",
    b"\xff",
    b"\x00",
    b"\x1b",
    b"\r",
    b"\n",
    b"\x85",
    b"\xc2\x85",
    b"\xef\xbb\xbf",
    b"'",
]


@given(data=st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_any_bytes_are_text_without_control_characters_or_are_said_to_be_none(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    lines = 1 + data.count(b"\n") + data.count(b"\r")
    try:
        text, wrong = read_text(file, MOST), 1
    except NoText as error:
        text, wrong = None, error.line or 0
    assert 1 <= wrong <= lines
    if text is not None:
        assert all(each.isprintable() or each in "\n\t\x0c" or ord(each) > 0x9F for each in text)
        assert text.encode() == data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def test_what_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(NoText, match="more than"):
        read_text(Path("/dev/zero"), MOST)


LINES = st.sampled_from(
    [
        b"[a:9092]",
        b"[DEFAULT]",
        b"[",
        b"[]",
        b"a.b = hunter22",
        b"= hunter22",
        b"hunter22",
        b"  hunter22",
        b"#",
        b"a.b=",
    ]
)


@given(data=st.binary(max_size=40) | st.lists(LINES, max_size=6).map(b"\n".join))
def test_a_file_of_kafka_properties_is_read_or_refused_without_its_content(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        load_clusters(file, {})
    except SettingsError as error:
        said = str(error)
    else:
        said = f"--kafka-config (BATCHLINE_KAFKA_CONFIG): {file}"
    assert said.startswith(f"--kafka-config (BATCHLINE_KAFKA_CONFIG): {file}")
    assert "hunter22" not in said


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"a=1", 1, "begin with"),
        (b"[x]\na=1\nno delimiter", 3, "no `name = value`"),
        (b"[x]\na=1\na=2", 3, "before"),
        (b"[x]\n[x]", 2, "before"),
        (b"[x]\n\xff", 2, "no UTF-8"),
        (b"[x]\na = 1\x00", 2, r"U\+0000"),
    ],
)
def test_a_file_of_kafka_properties_is_refused_with_its_line(file: Path, data: bytes, line: int, why: str) -> None:
    file.write_bytes(data)
    with pytest.raises(SettingsError, match=f"{file}:{line} .*{why}"):
        load_clusters(file, {})
