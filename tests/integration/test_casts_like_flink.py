import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.casts import caster
from shared.definition import SqlType
from shared.lexical import as_float32
from tests.integration.cast_cases import CASES, sql

Question = tuple[SqlType, Any, SqlType]


def questions() -> list[Question]:
    return [(source, value, target) for source, values, targets in CASES for value in values for target in targets]


def ask_flink(folder: Path, asked: list[Question]) -> dict[str, Any]:
    """What Flink's TRY_CAST makes of each value, which it reads and writes as JSON itself."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    from submitter.gateway import gateway

    # Or PyFlink's own client would be that of every later test of this process.
    gateway()
    (folder / "in").mkdir()
    values = [str(value) if isinstance(value, Decimal) else json.dumps(value) for _, value, _ in asked]
    line = ", ".join(f'"v{n}": {value}' for n, value in enumerate(values))
    (folder / "in" / "line").write_text("{" + line + "}\n")
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    tables.get_config().set("parallelism.default", "1")
    tables.get_config().set("table.local-time-zone", "UTC")
    columns = ", ".join(f"v{n} {sql(source)}" for n, (source, _, _) in enumerate(asked))
    results = ", ".join(f"v{n} {sql(target)}" for n, (_, _, target) in enumerate(asked))
    way = "'connector' = 'filesystem', 'format' = 'json', 'path' = "
    tables.execute_sql(f"CREATE TABLE given ({columns}) WITH ({way} 'file://{folder}/in')")
    tables.execute_sql(f"CREATE TABLE made ({results}) WITH ({way} 'file://{folder}/out')")
    casts = ", ".join(f"TRY_CAST(v{n} AS {sql(target)})" for n, (_, _, target) in enumerate(asked))
    tables.execute_sql(f"INSERT INTO made SELECT {casts} FROM given").wait()
    written = next(path for path in (folder / "out").rglob("*") if path.is_file() and path.stat().st_size)
    found: dict[str, Any] = json.loads(written.read_text(), parse_float=Decimal)
    return found


def ours(source: SqlType, value: Any, target: SqlType) -> Any:
    cast = caster(source, target)
    try:
        made = value if cast is None else cast(value)
    except ValueError:
        return None
    return Decimal(repr(made)) if isinstance(made, float) else made


def comparable(value: Any, target: SqlType) -> Any:
    """One FLOAT has several texts, and Java before 19 doesn't choose the shortest."""
    if isinstance(value, str | bool) or value is None:
        return value
    return as_float32(float(value)) if target.root == "FLOAT" else Decimal(value)


@pytest.mark.timeout(120)
def test_every_cast_gives_what_flink_gives(tmp_path: Path) -> None:
    asked = questions()
    theirs = ask_flink(tmp_path, asked)
    differences = [
        f"{sql(source)} {value!r} AS {sql(target)}: flink {theirs[f'v{n}']!r}, ours {made!r}"
        for n, (source, value, target) in enumerate(asked)
        if comparable(theirs[f"v{n}"], target) != comparable(made := ours(source, value, target), target)
    ]
    assert not differences, "\n".join(differences)
