"""A query's own options, as Flink's parser reads them: positional or named, each judged where it stands."""

from pathlib import Path

from submitter.pipeline.explain import explain
from tests.integration.pipeline_files import (
    ENVIRON,
    MODEL,
    REVIEWS,
    SETTINGS,
    SINK,
    faults_of,
    line_of,
    pipeline_of,
)

ABOVE = SETTINGS + REVIEWS + MODEL + SINK
SELECT = "INSERT INTO results SELECT id, label, score FROM ML_PREDICT("
GIVEN = (
    ABOVE
    + SELECT
    + "TABLE reviews, MODEL judge, DESCRIPTOR(review));\n"
    + SELECT
    + """TABLE reviews, MODEL judge, DESCRIPTOR(review), MAP['temperature', '0', -- a comment
  'batch.prompt', U&'{{ text }} \\263a', 'system-prompt', 'It''s ${REGION}']);
"""
    + SELECT
    + "CONFIG => MAP['batch.max-age', '5 s',\n 'batch.error-topic', 'lost'], ARGS => DESCRIPTOR(review),"
    + " model => MODEL judge, INPUT => TABLE reviews);\n"
)


def test_a_map_is_read_wherever_it_stands(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, GIVEN)
    plain, positional, named = pipeline.statements
    assert positional.definition.model.parameters == {"temperature": 0.0}
    assert positional.definition.model.system_prompt == f"It's {ENVIRON['REGION']}"
    assert positional.definition.batch.prompt == "{{ text }} ☺"
    assert named.definition.batch.max_age == 5.0
    assert named.definition.batch.error_topic == "lost"
    assert len({each.definition.hash for each in pipeline.statements}) == 3
    assert plain.definition.model == named.definition.model
    first, second = line_of(GIVEN, "'temperature', '0'"), line_of(GIVEN, "'batch.prompt'")
    said = explain(pipeline)
    for part in (
        f"temperature = '0' (query, line {first})",
        f"batch.prompt = '{{{{ text }}}} ☺' (query, line {second})",
        f"""system-prompt = "It's ${{REGION}}" (query, line {second})""",
        f"batch.max-age = '5 s' (query, line {line_of(GIVEN, 'CONFIG')})",
        "batch.max-age = '15 min' (default)",
        f"model = 'gpt-5-mini' (model, line {line_of(GIVEN, chr(39) + 'provider')})",
        "api-key = '${OPENAI_API_KEY}' (model, line",
        "failures    go to topic lost",
    ):
        assert part in said, said
    assert "the-openai-key" not in said


WRONG = (
    ABOVE
    + SELECT
    + """TABLE reviews, MODEL judge, DESCRIPTOR(review), MAP[
  'temperature', 'hot',
  'endpoint', 'https://elsewhere.example/v1/chat/completions',
  'api-key', '${OPENAI_API_KEY}',
  'batch.max_age', '1 s',
  'top-p', 0.5,
  'seed', CAST(7 AS STRING),
  'stop', 'a' || 'b',
  'n', NULL,
  review, '1',
  'max-tokens', '5',
  'maxTokens', '6',
  'presence-penalty']);
"""
)
SAID = {
    "'temperature', 'hot'": "option 'temperature': it can't be used: 'hot' is no number",
    "'endpoint'": "option 'endpoint': a query can't give it",
    "'api-key', '${OPENAI_API_KEY}',\n  'b": "option 'api-key': a query can't give it",
    "'batch.max_age'": "option 'batch.max_age': there is no such option; did you mean 'batch.max-age'?",
    "'top-p', 0.5": "option 'top-p': its value in MAP[…] must be a string literal",
    "'seed', CAST": "option 'seed': its value in MAP[…] must be a string literal",
    "'stop', 'a'": "option 'stop': its value in MAP[…] must be a string literal",
    "'n', NULL": "option 'n': its value in MAP[…] must be a string literal",
    "review, '1'": "an option's name in MAP[…] must be a string literal",
    "'maxTokens', '6'": f"option 'maxTokens': it is given twice, first in line {line_of(WRONG, 'max-tokens')}",
    "'presence-penalty'": "option 'presence-penalty': MAP[…] has no value for it",
}


def test_each_mistake_in_a_map_is_told_with_its_line(tmp_path: Path) -> None:
    found = faults_of(tmp_path, WRONG)
    assert sorted(found) == sorted(
        next(each for each in found if each.startswith(f"file.sql:{line_of(WRONG, where)}: results: {said}"))
        for where, said in SAID.items()
    )
    assert "the-openai-key" not in "\n".join(found)


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    call = "TABLE reviews, MODEL judge, DESCRIPTOR(review)"
    for arguments, said in (
        (f"{call}, 'batch.size'", "takes the query's options as MAP['option', 'value', …]"),
        (f"{call}, CAST(NULL AS MAP<STRING, STRING>)", "takes the query's options as MAP['option', 'value', …]"),
        (f"{call}, MAP['seed', '1'], MAP['n', '1']", "has too many arguments"),
        (f"{call}, CONFIG => MAP['n', '1'], CONFIG => MAP['n', '1']", "has CONFIG twice"),
    ):
        (found,) = faults_of(tmp_path, f"{ABOVE}{SELECT}{arguments});")
        assert said in found
