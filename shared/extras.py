"""What is known of a record's answer besides the answer: columns that a SELECT may ask for above ML_PREDICT. Pure.

They are computed when a record is published. A name that the input or the model has itself means that one's column.
"""

from shared.definition import SqlType

_STRING = SqlType(root="VARCHAR", length=2**31 - 1)
_COUNT = SqlType(root="BIGINT")

ERROR, STATUS, RAW, BATCH, MODEL = (
    "prediction_error",
    "prediction_status",
    "prediction_raw",
    "prediction_batch",
    "prediction_model",
)
INPUT_TOKENS, OUTPUT_TOKENS, COST = "prediction_input_tokens", "prediction_output_tokens", "prediction_cost"
HTTP_STATUS = "http-status-code"

NAMES: dict[str, SqlType] = {
    ERROR: _STRING,
    STATUS: _STRING,
    RAW: _STRING,
    BATCH: _STRING,
    MODEL: _STRING,
    INPUT_TOKENS: _COUNT,
    OUTPUT_TOKENS: _COUNT,
    COST: SqlType(root="DOUBLE"),
}
"""Cause and message of a failed record; `succeeded` or `failed`; the answer as it came; the batch's key; the model as
the answer names it; its tokens; US dollars."""

METADATA: dict[str, tuple[str, SqlType]] = {
    "error-string": (ERROR, _STRING),
    "http-status-code": (HTTP_STATUS, SqlType(root="INTEGER")),
}
"""The metadata keys of an OUTPUT, as Flink's OpenAI provider calls them, and what each stands for."""

ALWAYS = frozenset({STATUS, BATCH})
"""Those that are never NULL."""
OF_USAGE = frozenset({MODEL, INPUT_TOKENS, OUTPUT_TOKENS, COST, HTTP_STATUS})
"""Those that a collection has to keep for each request."""
