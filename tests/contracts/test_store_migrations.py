import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from shared.errors import SettingsError
from shared.lifecycle import State
from shared.store import Store
from shared.store.migrate import HEAD, SCRIPTS
from shared.store.tables import metadata
from tests.rig.processes import Processes
from tests.rig.waiting import wait_until

ROOT = Path(__file__).parents[2]
DOCUMENTED = """
batch_key, pipeline, statement, provider, account, model, definition, state, held_reason, held_until, provider_batch_id,
generation, parent, requests, records, bytes, succeeded, failed, carried, sealed_at, submitted_at, ended_at,
published_at, updated_at, expires_at, results_expire_at, next_check_at, error, input_tokens, output_tokens,
estimated_cost_usd, cost_usd, sync_cost_usd
"""
VIEWS = ("batch_status", "pipeline_status", "pipeline_daily", "duplicates")
OPEN = """
import sys, time
from pathlib import Path
from shared.store import Store
Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists(): pass
print(Store.open(sys.argv[1]).shards.installation_id())
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where no store was ever opened."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new folder/state.db"
    return str(request.getfixturevalue("postgres_url"))


def test_processes_that_start_at_once_make_one_store(empty_url: str, processes: Processes, tmp_path: Path) -> None:
    go = tmp_path / "go"
    children = []
    for number in range(4):
        ready = tmp_path / f"ready-{number}"
        children.append(processes.start("open", [sys.executable, "-c", OPEN, empty_url, ready, go], cwd=ROOT))
    wait_until(lambda: all((tmp_path / f"ready-{n}").exists() for n in range(4)), 60, "the processes to be ready")
    go.touch()
    assert [child.wait(120) for child in children] == [0, 0, 0, 0], [child.tail() for child in children]
    with Store.open(empty_url) as store:
        expected = store.shards.installation_id()
    assert [child.tail().strip() for child in children] == [expected] * 4


def test_the_migrations_make_the_tables_that_the_code_reads(store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        checks = {check["name"] for check in inspect(connection).get_check_constraints("batches")}
        assert checks == {"ck_batches_conservation", "ck_batches_all_out"}
    engine.dispose()


def test_the_documented_columns_come_first_and_in_order(store_url: str) -> None:
    documented = [name.strip() for name in DOCUMENTED.split(",")]
    engine = create_engine(store_url)
    names = [column["name"] for column in inspect(engine).get_columns("batches")]
    engine.dispose()
    assert names[: len(documented)] == documented == _described("`batches`")


@pytest.mark.parametrize("view", VIEWS)
def test_the_readme_describes_the_columns_of_each_view(store_url: str, view: str) -> None:
    engine = create_engine(store_url)
    names = [column["name"] for column in inspect(engine).get_columns(view)]
    engine.dispose()
    assert names == _described(f"`{view}`")


def test_opening_again_changes_nothing_and_loads_no_migrations(store_url: str) -> None:
    code = (
        "import sys; from shared.store import Store; Store.open(sys.argv[1]).close(); "
        "print([name for name in ('alembic', 'sqlalchemy.orm', 'psycopg', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, store_url], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("['sqlite3']" if store_url.startswith("sqlite") else "['psycopg']")


def test_the_newest_revision_is_the_one_the_code_expects() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == HEAD


def test_a_store_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    Store.open(empty_url).close()
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match=r"does not know \(9999\)") as told:
        Store.open(empty_url)
    assert "tester:" not in str(told.value).replace("tester:***", "")
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()


def test_a_file_is_its_owners_alone_and_in_wal_mode(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "state.db"
    with Store.open(f"sqlite:///{file}"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.with_name("state.db-wal").stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_views_know_every_state(store: Store) -> None:
    store.lineage.claim_name("pipe", "a.sql")
    shown = {name.removeprefix("batches_") for name in store.status.pipelines()[0] if name.startswith("batches_")}
    assert shown == {str(state) for state in State}


def _described(heading: str) -> list[str]:
    """The columns that deploy/README.md lists under a heading: each row of its table begins with their names."""
    text_ = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^#+ [^\n]*{re.escape(heading)}\n(.*?)(?=^#|\Z)", text_, re.MULTILINE | re.DOTALL)
    assert section, f"deploy/README.md has no section {heading}"
    cells = re.findall(r"^\| (`[^|]+`) \|", section[1], re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
