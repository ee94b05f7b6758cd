"""A model's options as Python's tests give them, and what is read of them."""

from typing import Any

from shared.definition import BatchOptions, Column, Model, SqlType
from submitter.pipeline.faults import Faults, Place
from submitter.pipeline.options import Declared, ModelOptions

TEXT = SqlType(root="VARCHAR", length=2**31 - 1)
BASE = {"provider": "openai", "model": "gpt-5-mini", "api-key": "${OPENAI_API_KEY}"}
ENVIRON = {"OPENAI_API_KEY": "a-key"}


def read(
    options: dict[str, str], output: SqlType = TEXT, environ: dict[str, str] | None = None
) -> tuple[tuple[Model, BatchOptions] | None, Faults]:
    faults = Faults()
    declared = Declared(
        name="m",
        options=options,
        input=(Column(name="review", type=TEXT),),
        output=(Column(name="label", type=output),),
        lines={"api-key": 7},
        place=Place(5, "model m"),
    )
    return ModelOptions(declared, ENVIRON if environ is None else environ, faults).read(("review",)), faults


def model_of(options: dict[str, str], **how: Any) -> tuple[Model, BatchOptions]:
    made, faults = read({**BASE, **options}, **how)
    assert made is not None, faults.errors
    return made


def faults_of(options: dict[str, str], **how: Any) -> str:
    made, faults = read(options, **how)
    assert made is None
    return "\n".join(fault.text("f.sql") for fault in faults.errors)
