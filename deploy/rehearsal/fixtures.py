"""For users' own tests: `pytest_plugins = ["deploy.rehearsal.fixtures"]` in a conftest.py gives the fixture `rehearse`.

def test_a_review_is_classified(rehearse):
    tried = rehearse("reviews.sql", [{"review_id": "1", "review": "A wonderful film."}])
    assert [message.row["label"] for message in tried.messages] == ["positive"]
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.rehearsal.folder import rehearsal_folder
from deploy.rehearsal.reading import chosen, read_file
from deploy.rehearsal.rows import sealed_lines
from deploy.rehearsal.sandbox import Sandbox, sandbox
from deploy.rehearsal.trial import Tried, attempt
from shared.errors import SettingsError
from submitter.invocation import flink

Rehearse = Callable[..., Tried]
"""rehearse(file, rows, statement=None): a file's path, and its rows as mappings of columns to values."""


@pytest.fixture(scope="session")
def flink_of_rehearsals() -> Iterator[None]:
    """Flink's planner, which reads the files; once for all tests."""
    with flink(threading.Event()):
        yield


@pytest.fixture(scope="session")
def sandbox_of_rehearsals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The provider that answers; once for all tests."""
    with sandbox(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def rehearse(flink_of_rehearsals: None, sandbox_of_rehearsals: Sandbox) -> Rehearse:  # noqa: ARG001 - it has to run
    """Sends rows through a file without Kafka and without an account, and gives what would come out."""

    def run(file: Path | str, rows: Iterable[Mapping[str, Any]], statement: str | None = None) -> Tried:
        found = chosen(read_file(Path(file)), statement)
        if len(found) != 1:
            raise SettingsError(f"name one of the file's statements: {', '.join(each.name for each in found)}")
        definition = found[0].definition
        lines = list(sealed_lines(definition, [orjson.dumps(row) for row in rows], "rows"))
        here = sandbox_of_rehearsals.instead(definition)
        with rehearsal_folder() as folder:
            environ = sandbox_of_rehearsals.environ(definition)
            return attempt(folder, here, lines, environ, sandbox_of_rehearsals.dictate)

    return run
