"""What a file means, statement by statement: source, model, options, a prompt, the answer's shape, the sink. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from shared.definition import BatchOptions, Column, Definition, Model, Projected, SqlType
from shared.estimate import TOKENS_PER_BYTE
from shared.media import content_of
from shared.packed import answer_format, asked, prompts_of
from shared.providers.profiles import profile_for
from shared.render import Unrenderable
from shared.schema import answer_schema, is_text
from submitter.pipeline.values import Pipeline, PlainInsert, Statement
from submitter.planning.room import room_of

_UNREAD = {
    "retry": "all of them once more",
    "split": "in halves, down to one record",
    "individual": "one by one at the synchronous endpoint",
    "null": "out with NULLs",
}
_WIDTH = 12
_LONGEST = 300
_SHORT = {"VARCHAR": "STRING", "VARBINARY": "BYTES", "INTEGER": "INT"}
_UNBOUNDED = 2**31 - 1


def explain(pipeline: Pipeline) -> str:
    """The file's meaning, for people; no secret is in it."""
    settings = pipeline.settings
    lines = [
        f"pipeline {pipeline.name}",
        *_row("spool", settings.spool + (" (shared)" if settings.shared_spool else "")),
        *_row("state store", settings.state_store_reference),
        *_row("batches", f"topic {settings.batches_topic} at {pipeline.bootstrap_servers}"),
        *_row("budget", _budget(pipeline)),
    ]
    for statement in pipeline.statements:
        lines += ["", *_statement(statement)]
    for plain in pipeline.plain:
        lines += ["", *_plain(plain)]
    return "\n".join(lines)


def sql(type_: SqlType) -> str:
    """A type as SQL writes it."""
    short = _SHORT.get(type_.root, type_.root)
    if type_.length is not None and (type_.length != _UNBOUNDED or type_.root not in _SHORT):
        made = f"{type_.root}({type_.length})"
    elif type_.root == "DECIMAL":
        made = f"DECIMAL({type_.precision}, {type_.scale})"
    elif type_.root == "MAP" and type_.key and type_.element:
        made = f"MAP<{sql(type_.key)}, {sql(type_.element)}>"
    elif type_.element:
        made = f"{type_.root}<{sql(type_.element)}>"
    elif type_.fields:
        made = f"ROW<{', '.join(f'{field.name} {sql(field.type)}' for field in type_.fields)}>"
    else:
        base = short.replace("_WITHOUT_TIME_ZONE", "").replace("_WITH_LOCAL_TIME_ZONE", "_LTZ")
        made = base if type_.precision is None else f"{base}({type_.precision})"
    return made if type_.nullable else f"{made} NOT NULL"


def _budget(pipeline: Pipeline) -> str:
    models = {each.definition.model.name: each.definition.batch.max_cost_per_day for each in pipeline.statements}
    said = {"all": pipeline.settings.max_cost_per_day, **{f"model {name}": usd for name, usd in models.items()}}
    told = ", ".join(f"{whose} at most ${usd:,.2f}" for whose, usd in said.items() if usd is not None)
    return f"a day (UTC): {told}; what goes beyond it is held" if told else "no limit for a day"


def _statement(statement: Statement) -> Iterator[str]:
    definition = statement.definition
    model, sink = definition.model, definition.sink
    yield f"statement {statement.name} (line {statement.line})"
    yield from _row("reads", _input(statement))
    yield from _row("keeps", _columns(definition.row))
    yield from _row(
        "asks", f"{model.provider} {model.model} at {model.base_url}, for {model.path}, key ${{{model.api_key}}}"
    )
    shown = (f"{each.name} = {_cut(each.value)!r} ({each.origin})" for each in statement.options)
    yield from _row("options", "\n".join(shown))
    yield from _row("batches", _limits(definition.batch, model))
    yield from _row("road", _road(definition.batch))
    yield from _row("prompt", _sample(definition))
    yield from _row("answer", _answer(definition))
    yield from _row("writes", f"{sink.table}: topic {sink.topic} at {sink.bootstrap_servers}")
    yield from _row("", _formats(definition))
    yield from _row("", ", ".join(_projected(each) for each in definition.projection))
    yield from _row("failures", _failures(definition.batch))


def _plain(plain: PlainInsert) -> Iterator[str]:
    yield f"plain INSERT INTO {plain.sink} (line {plain.line}): Flink runs it as it is, in the same job"


def _row(title: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines() or [""]):
        yield f"  {title if number == 0 else '':<{_WIDTH}}{line}".rstrip()


def _input(statement: Statement) -> str:
    found, source = statement.input, statement.definition.source
    ends = "ends by itself" if found.bounded else "endless"
    if not found.topics:
        kind = "view" if found.view else f"{found.connector} table"
        return (
            f"{found.identifier}: a {kind}, {ends}; without positions, so a start without Flink state needs --resubmit"
        )
    topics = ", ".join(found.topics)
    cluster = f" of cluster {source.cluster_id}" if source else ""
    return f"{found.identifier}: topic {topics}{cluster}, {ends}"


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{column.name} {sql(column.type)}" for column in columns)


def _limits(batch: BatchOptions, model: Model) -> str:
    profile = profile_for(model)
    requests = min(batch.max_requests or profile.max_requests, profile.max_requests)
    size = min(batch.max_bytes or profile.max_bytes, profile.max_bytes)
    return (
        f"at most {requests:,} requests and {size:,} bytes, sealed within {batch.max_age:g} s; a create is waited for "
        f"{batch.request_timeout:g} s, a request sent again {batch.max_retries} times"
        + ("; a create that does not show is held until an operator decides" if batch.on_ambiguous == "hold" else "")
    )


def _road(batch: BatchOptions) -> str:
    calls = f"at most {batch.fallback_max_concurrency} calls at once"
    if batch.mode == "sync":
        return f"record by record at the synchronous endpoint, {calls}"
    if batch.deadline is None:
        return "batches, without a deadline"
    if batch.fallback is None:
        rest = "the rest goes into another batch"
    else:
        ceiling = "without a limit" if batch.fallback_max_cost is None else f"for at most ${batch.fallback_max_cost:g}"
        rest = f"the rest is asked record by record, {calls}, {ceiling} a sealed batch"
    return f"batches; when {batch.deadline:g} s from the seal are nearly over, what is finished is taken, and {rest}"


def _sample(definition: Definition) -> str:
    model, row = definition.model, {column.name: _example(column.type, column.name) for column in definition.row}
    places = {column.name: place for column, place in zip(model.input, model.descriptor, strict=True)}
    row |= {places[name]: f"https://…/{name}" for name in definition.batch.media_columns or ()}
    try:
        if definition.batch.is_packed:
            prompt = prompts_of(definition)([row, row])
            return "\n".join(map(_cut, [prompt] if isinstance(prompt, str) else prompt))
        content = content_of(definition)(row)
        return _cut(content if isinstance(content, str) else orjson.dumps(content).decode())
    except Unrenderable as error:
        return f"(no sample: {error})"


def _example(type_: SqlType, name: str) -> Any:
    if type_.root in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        return 1
    if type_.root in ("FLOAT", "DOUBLE", "DECIMAL"):
        return 1.5
    if type_.root == "BOOLEAN":
        return True
    if type_.root in ("ARRAY", "MULTISET") and type_.element:
        return [_example(type_.element, name)]
    if type_.root == "ROW":
        return {field.name: _example(field.type, field.name) for field in type_.fields}
    return {} if type_.root == "MAP" else f"<{name}>"


def _answer(definition: Definition) -> str:
    model, options, shape = definition.model, definition.batch, asked(definition).output
    columns = _columns(model.output)
    if model.task in ("embeddings", "moderations"):
        each = f"{'an embedding' if model.task == 'embeddings' else 'a moderation'}, as {columns}"
    elif is_text(model.output) and not options.is_packed:
        each = f"its text, as {columns}"
    else:
        each = columns
    if is_text(shape) or model.task in ("embeddings", "moderations"):
        return f"{each}{_packed(definition)}"
    schema = _cut(orjson.dumps(answer_schema(shape)).decode())
    return f"{each}, by the JSON schema{_packed(definition)}\n{schema}"


def _packed(definition: Definition) -> str:
    """How an answer is taken apart."""
    options, form = definition.batch, answer_format(definition)
    told = f", read as {form}" if form else ""
    if not options.is_packed:
        return told
    room = room_of(definition, TOKENS_PER_BYTE)
    most = f"; at most {room.records} records share a request" if room else ""
    if form is None:
        return f"{told}{most}"
    return (
        f"{told}{most}, each found by its '{options.response_index_field}'; where it can't be read: "
        + (_UNREAD[options.response_on_error])
    )


def _formats(definition: Definition) -> str:
    sink = definition.sink
    key = f"key {sink.key_format} of {', '.join(sink.key_fields)}" if sink.key_format else "no key"
    return f"{key}; value {sink.value_format}, {sink.value_fields_include.lower().replace('_', ' ')} fields"


def _projected(each: Projected) -> str:
    source = orjson.dumps(each.literal).decode() if each.source == "literal" else f"{each.source} {each.column}"
    for cast in each.casts:
        source = f"CAST({source} AS {sql(cast)})"
    return f"{each.name} = {source}"


def _failures(batch: BatchOptions) -> str:
    if batch.error_topic:
        return f"go to topic {batch.error_topic}"
    return "come out in the sink, with NULL for the answer and the cause in the header batchline-error"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
