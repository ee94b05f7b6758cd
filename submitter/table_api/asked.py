"""What is asked for in Python: a model, and a prediction with it. Knows nothing of Flink but its types' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyflink.table.types import DataType


@dataclass(frozen=True)
class BatchModel:
    """What CREATE MODEL says, in Python.

    A column's type is a DataType, or the text that stands in SQL: `STRING`, `DOUBLE COMMENT 'from 0 to 1'`.
    """

    name: str
    input: Mapping[str, str | DataType]
    output: Mapping[str, str | DataType]
    options: Mapping[str, str]
    """By the names of WITH (…). The api-key is `${NAME}`: each process takes it from its own environment.

    In every other one `${NAME}` stands for the environment's value of now, as in a file.
    """


@dataclass(frozen=True)
class Asked:
    """What predict was told, less the table."""

    model: BatchModel | str
    sink: str
    columns: Sequence[str] | None = None
    select: Sequence[str] | None = None
    options: Mapping[str, str] | None = None
