import re

from shared.definition import BatchOptions
from shared.providers.bodies import FIELDS
from submitter.pipeline.endpoint import TASKS
from submitter.pipeline.option_table import BATCH, OPTIONS, PARAMETERS, markdown

_OF_THE_MODEL = {"batch.extra-body"}
"""Options under `batch.` that shape a request."""
_OTHERWISE = {"system-prompt", "response-format"}
"""Options under Flink's names that shape a body otherwise than as one field."""


def test_an_option_of_batches_is_a_field_with_the_same_default() -> None:
    batch = BatchOptions()
    defaults = {name: getattr(batch, name) for name in BatchOptions.model_fields}
    for option in BATCH:
        name = re.sub(r"[.-]", "_", option.name.removeprefix("batch."))
        if option.name not in _OF_THE_MODEL:
            assert defaults.pop(name) == (option.kind(option.default) if option.default else None), option.name
    assert not defaults, "a field without an option can't be set"


def test_an_option_that_is_a_field_is_taken_where_its_task_has_that_field() -> None:
    for task in (task for tasks in TASKS.values() for task in tasks):
        taken = {option.name for option in PARAMETERS if task in option.tasks and not option.name.startswith("batch.")}
        assert taken - _OTHERWISE == set(FIELDS[task]), task


def test_an_option_is_one_row_of_the_table() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert len(rows) == len(OPTIONS)
    for row, name in zip(rows, OPTIONS, strict=True):
        assert row.startswith(f"| `{name}` ")
        assert row.count("|") == 6
    assert "| `stop` | list, as `END,STOP` |  | openai (chat), anthropic | texts that end the answer |" in rows
    assert any("`batch.max-enqueued-tokens` | integer ≥ 1 |  | openai |" in row for row in rows)
