"""Requests for several records at other endpoints than chat's, and through a tool, byte for byte as they were."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.definition import BatchOptions, Column, SqlType
from shared.packed import asked, prompts_of
from shared.providers.bodies import request_lines
from tests.rig import samples

GOLDEN = Path(__file__).parent / "golden"
CLAUDE = {"provider": "anthropic", "task": "messages", "path": "/v1/messages"}
TOOL = {"parameters": {"batch.structured-output": "tool"}}
VECTOR = Column(name="vector", type=SqlType(root="ARRAY", element=SqlType(root="FLOAT")))
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai-responses": ({"task": "responses", "path": "/v1/responses"}, {}),
    "openai-embeddings": (
        {"task": "embeddings", "path": "/v1/embeddings", "system_prompt": None, "output": (VECTOR,)},
        {},
    ),
    "openai-tool": (TOOL, {}),
    "anthropic-tool": ({**CLAUDE, **TOOL}, {}),
    "openai-xml-value-field": ({}, {"response_format": "xml", "response_value_field": "answer"}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_packed_requests_of_other_shapes_are_as_they_were(shape: str) -> None:
    """`golden/packed-*.json` is written anew when it is deleted, and the test fails that once: read what changed."""
    model, options = SHAPES[shape]
    stated = samples.definition(model=model, batch=BatchOptions(size=3, **options))
    rows = [{"review": 'Fine "film".\nReally.'}, {"review": "Bad\u2028one"}]
    line = request_lines(asked(stated)).line("id-0", prompts_of(stated)(rows))
    made = orjson.dumps(orjson.loads(line), option=orjson.OPT_INDENT_2) + b"\n"
    path = GOLDEN / f"packed-{shape}.json"
    if not path.exists():
        path.write_bytes(made)
        pytest.fail(f"{path} was missing and has been written: read it, and commit it")
    assert made == path.read_bytes()
