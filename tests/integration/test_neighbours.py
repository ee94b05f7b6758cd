"""A record that gives several rows (a JSON array), and files that Flink's sink rolled between two of them."""

import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from deploy.sandbox.provider.server import ProviderServer
from shared.annals import plan_name
from shared.spool import PLAN, REQUESTS, SealedFile
from submitter.planning.planner import Planner
from tests.rig import samples
from tests.rig.older import copied, restore
from tests.rig.stage import Stage

A, B = "part-aaaa-0", "part-bbbb-0"
"""The writers of two jobs."""


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path)
    made.store.lineage.claim_name("pipe", "file.sql")
    made.store.lineage.put_definition(made.definition())
    yield made
    made.close()


def sealed(stage: Stage, name: str, *rows: str) -> SealedFile:
    """A file of rows such as 5b: the second one of the record at offset 5."""
    lines = [samples.sealed_line(n, row, [0, 0, int(row[:-1])]) for n, row in enumerate(rows)]
    address = samples.seal(stage.spool.files, stage.definition(), lines, name).address
    return next(file for file in stage.spool.sealed_files("pipe", "sentiments") if file.address == address)


def plan(stage: Stage, *files: SealedFile) -> list[str]:
    """The rows that are asked about, file by file."""
    planner, asked = Planner(stage.store, stage.spool, stage.models().provider_for, stage.clock), []
    for file in files:
        for key in planner.plan("pipe", "sentiments", file):
            body = stage.path(f"pipe/sentiments/batches/{key}/{REQUESTS}").read_bytes()
            asked += [orjson.loads(line)["body"]["messages"][-1]["content"] for line in body.splitlines()]
    return asked


def paid(stage: Stage) -> list[tuple[int, int]]:
    return [(run.start, run.end) for run in stage.store.positions.all("pipe", "sentiments")]


def record_of(stage: Stage, file: SealedFile) -> Path:
    return stage.path(f"pipe/annals/plans/{plan_name(file.address)}.json")


@pytest.mark.parametrize(
    "files",
    [
        [["4a", "5a"], ["5b", "5c", "6a"]],
        [["4a", "5a"], ["5b"], ["5c"], ["5d", "6a"]],
        [["5a", "5b"], ["5c", "9a"], ["9b", "9c"]],
    ],
    ids=["two files", "four files", "a gap after it"],
)
@pytest.mark.parametrize("order", [1, -1], ids=["as sealed", "the last first"])
def test_every_row_is_sent_once_wherever_the_sink_rolled(stage: Stage, files: list[list[str]], order: int) -> None:
    """Of files that an object store finished within the same second nobody knows which was first."""
    made = [sealed(stage, f"{A}-{n}", *rows) for n, rows in enumerate(files, 9)]
    rows = sorted(row for each in files for row in each)
    assert sorted(plan(stage, *made[::order])) == rows
    assert plan(stage, *made) == []
    again = [sealed(stage, f"{B}-{n}", *rows[n : n + 2]) for n in range(0, len(rows), 2)]
    assert plan(stage, *again) == [], "a replay is paid for"
    assert sum(end - start for start, end in paid(stage)) == len({row[:-1] for row in rows})


def test_a_replay_that_is_cut_at_another_place_is_skipped_to_its_last_row(stage: Stage) -> None:
    plan(stage, sealed(stage, f"{A}-0", "4a", "5a"), sealed(stage, f"{A}-1", "5b", "6a"))
    again = [
        sealed(stage, f"{B}-0", "4a", "5a", "5b"),
        sealed(stage, f"{B}-1", "6a", "7a"),
        sealed(stage, f"{B}-2", "7b"),
    ]
    assert plan(stage, *again) == ["7a", "7b"]


def test_a_neighbour_is_known_whatever_became_of_its_data_and_of_the_store_s_memory(stage: Stage) -> None:
    older = copied(stage)
    first, second = sealed(stage, f"{A}-0", "4a", "5a"), sealed(stage, f"{A}-1", "5b", "6a")
    plan(stage, first)
    restore(stage, older)
    stage.store.lineage.put_definition(stage.definition())
    assert plan(stage, first) == ["4a", "5a"], "it comes back by its manifests"
    stage.path(first.address).unlink()
    assert plan(stage, second) == ["5b", "6a"]
    assert paid(stage) == [(4, 7)]


def test_a_neighbour_is_known_whose_planner_was_killed_after_the_commit(stage: Stage) -> None:
    first, second = sealed(stage, f"{A}-0", "4a", "5a"), sealed(stage, f"{A}-1", "5b", "6a")
    plan(stage, first)
    attempt = stage.path(stage.store.plans.attempt(first.address) or "")
    attempt.mkdir()
    record_of(stage, first).rename(attempt / PLAN)
    assert plan(stage, second) == ["5b", "6a"]


def test_a_file_that_a_job_was_restored_with_is_its_own_also_under_another_job_s_name(stage: Stage) -> None:
    """Flink finishes the file that was in progress in the state under its old name, and goes on under a new UUID."""
    plan(stage, sealed(stage, f"{A}-0", "4a"))
    stage.store.lineage.begin("pipe", definition="0" * 16, spool=stage.spool_url, restored_from="state")
    plan(stage, sealed(stage, f"{A}-1", "5a"))
    assert plan(stage, sealed(stage, f"{B}-2", "5b", "6a")) == ["5b", "6a"]


@pytest.mark.parametrize("restored_from", [None, "state"])
def test_what_may_be_the_rest_of_a_record_of_another_job_s_is_told(
    stage: Stage, caplog: pytest.LogCaptureFixture, restored_from: str | None
) -> None:
    plan(stage, sealed(stage, f"{A}-0", "4a"), sealed(stage, f"{A}-1", "5a"))
    with caplog.at_level(logging.WARNING, "batchline"):
        assert plan(stage, sealed(stage, f"{B}-0", "4a", "5a"), sealed(stage, f"{B}-1", "5a", "6a")) == ["6a"]
        assert not caplog.records, "a replay is nothing to tell"
        stage.store.lineage.begin("pipe", definition="0" * 16, spool=stage.spool_url, restored_from=restored_from)
        assert plan(stage, sealed(stage, "part-cccc-0-2", "6b", "7a")) == ["7a"]
    (told,) = caplog.records
    assert "may be the rest of a record" in str(vars(told))
    assert paid(stage) == [(4, 8)]
