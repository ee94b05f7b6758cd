"""`poller status` as a command: it only looks, at a store that is there, with the alarms that the daemon has."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poller.command import main
from shared.clock import system_clock
from shared.lifecycle import Event
from shared.store import Store
from tests.rig.postgres import PostgresServer
from tests.rig.stores import planned, put, walk


def command(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, [*arguments], env={f"BATCHLINE_{name}": value for name, value in environ.items()})


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["resolve", "--retry", "k-0"]])
def test_a_mistyped_path_is_an_error_and_makes_no_store(tmp_path: Path, arguments: list[str]) -> None:
    ended = command(*arguments, STATE_STORE=f"sqlite:///{tmp_path}/new/stat.db")
    assert ended.exit_code == 2
    assert f"there is no state store at sqlite+pysqlite:///{tmp_path}/new/stat.db" in ended.output
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_database_without_a_store_is_an_error_and_stays_as_it_is(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    (tmp_path / "empty.db").write_bytes(b"")
    for url in (f"sqlite:///{tmp_path}/empty.db", postgres.url(postgres.create_database())):
        for _ in range(2):
            ended = command("status", STATE_STORE=url)
            assert ended.exit_code == 2, ended.output
            assert "there is no state store at" in ended.output
    assert (tmp_path / "empty.db").read_bytes() == b""


@pytest.mark.parametrize(("seconds", "kinds"), [("60", ["overdue"]), ("36000", [])])
def test_it_has_the_daemons_own_limits(store_url: str, seconds: str, kinds: list[str]) -> None:
    with Store.open(store_url) as store:
        put(store, planned("slow-0"))
        walk(store, "slow-0", Event.INTEND, Event.ACCEPT)
        store.batches.record("slow-0", remote_status="validating", remote_since=system_clock() - timedelta(hours=1))
    ended = command("status", "--json", STATE_STORE=store_url, STUCK_AFTER=seconds)
    assert [each["kind"] for each in json.loads(ended.output)["attention"]] == kinds


EVIL = "<script>alert(1)</script> [red]\x1b[2J\x9b31m\u202egnp.exe\u2066\x7f\r\x07\u2028\U000e0041 \x1b]8;;http://evil.example\x07"


@pytest.mark.parametrize(
    "arguments", [["status"], ["status", "--json"], ["doctor"], ["doctor", "--json"], ["resolve", f"k{EVIL}", "--fail"]]
)
def test_nothing_that_others_said_reaches_the_terminal_raw(tmp_path: Path, arguments: list[str]) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with Store.open(url) as store:
        put(store, planned("held-0", pipeline=f"pipe{EVIL}", statement=EVIL, account=f"openai:KEY@{EVIL}", model=EVIL))
        walk(store, "held-0", Event.HOLD)
        store.batches.record("held-0", held_reason=f"an operator must decide: {EVIL}", error=EVIL)
        store.accounts.pause(f"openai:KEY@{EVIL}", EVIL)
        store.health.away(f"kafka {EVIL}", EVIL, EVIL)
    more = ["--spool", f"file://{tmp_path}/spool", "--bootstrap-servers", "127.0.0.1:1"]
    ended = command(*arguments, *(more if arguments[0] == "doctor" else []), STATE_STORE=url)
    assert "script" in ended.output
    assert all(mark.isprintable() or mark == "\n" for mark in ended.output)
    if "--json" in arguments:
        said = json.loads(ended.stdout)
        assert EVIL in "".join(each["message"] for each in said.get("attention", said.get("findings", [])))
