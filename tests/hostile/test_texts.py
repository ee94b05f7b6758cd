"""Whatever stands in an error, a name, a template or an event has one of the expected ends, and tells no secret."""

import os
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Batch as OpenAiBatch

from poller.register.announced import Skip, read_event
from shared.errors import ProviderError, SpoolError
from shared.keys import batch_key
from shared.messages import BatchEvent
from shared.providers.faults import judged, verdict
from shared.providers.openai import remote
from shared.render import Unrenderable, template_of
from shared.spool import Spool
from submitter.pipeline.kinds import is_topic
from submitter.pipeline.prompt import template_faults

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = batch_key("pipe", "sentiments", "file", 0)
SECRET = "sec/ret+of=a.test&"
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from([SECRET, f"wrong key: {SECRET}", "insufficient_quota", "token_limit_exceeded", "9" * 4000, "²"]),
)
VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
ECHOES = st.sampled_from([SECRET, f"wrong key: {SECRET}", {"error_code": SECRET}])
SAID = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("code", "type", "message", "details", "error_code"), ECHOES | VALUES)
)
BODIES = st.one_of(VALUES, SAID, st.fixed_dictionaries({"error": SAID | VALUES}, optional={"type": VALUES}))
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x"]), st.text(max_size=20))


class Response:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


class Refused(Exception):
    """By its shape what either SDK raises for a status of 400 or more."""

    def __init__(self, status: object, body: object, headers: dict[str, str]) -> None:
        super().__init__(f"Error code: {status} - {body}")
        self.status_code, self.body, self.response = status, body, Response(headers)


@settings(max_examples=300, deadline=None)
@given(status=st.integers(0, 999) | st.sampled_from([None, 400, 401, 404, 429, 503]), body=BODIES, headers=HEADERS)
def test_whatever_stands_in_an_error_s_body_there_is_a_verdict_that_says_no_key(
    status: int | None, body: object, headers: dict[str, str]
) -> None:
    found = verdict(Refused(status, body, headers), NOW, SECRET)
    assert isinstance(found, ProviderError)
    assert SECRET not in str(found)
    assert SECRET not in str(getattr(found, "code", None))


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(f"file://{tmp_path_factory.mktemp('names')}/spool")


NAMES = st.text(max_size=20) | st.lists(st.sampled_from(["a", ".", "..", "/", "\\", "\0", "~", " ", "é"])).map("".join)


@settings(max_examples=300, deadline=None)
@given(pipeline=NAMES, statement=NAMES, key=st.just(KEY) | NAMES)
def test_a_name_is_refused_or_is_one_folder(spool: Spool, pipeline: str, statement: str, key: str) -> None:
    try:
        address = spool.batch(pipeline, statement, key)
    except SpoolError:
        return
    assert address.split("/") == [pipeline, statement, "batches", key]
    assert not {"", ".", ".."}.intersection(address.split("/"))
    assert address.isascii()
    assert address.isprintable()


@settings(max_examples=300, deadline=None)
@given(name=NAMES)
def test_a_topic_s_name_is_one_that_kafka_takes(name: str) -> None:
    assert not is_topic(name) or (name.isascii() and set(name).isdisjoint("/\\\0 \n") and name not in (".", "..", ""))


ROOTS = st.sampled_from(
    ["text", "tags", "tags[0]", "self", "cycler", "joiner", "namespace", "dict", "range", "''", "1", "loop", "caller"]
)
STEPS = st.sampled_from(
    [
        *(f".{name}" for name in ("__class__", "__init__", "__globals__", "__mro__", "__builtins__", "__dict__")),
        *(f".{name}" for name in ("__subclasses__()", "mro()", "gi_frame", "f_globals", "func_globals", "environ")),
        *(f"['{name}']" for name in ("__class__", "__globals__", "os", "environ", "__import__")),
        *(f"|attr('{name}')" for name in ("__class__", "__globals__", "__init__", "format", "environ")),
        *(f"|map(attribute='{name}')|list" for name in ("__class__", "__init__", "environ")),
        ".format(text)",
        ".format_map({'a': text})",
        "()",
        "(1)",
        "[0]",
        "|string",
        "|list",
        "|first",
        "|tojson",
        " ~ '{0.__class__.__init__.__globals__}'.format(text)",
    ]
)
CHAINS = st.builds(lambda root, steps: f"{{{{ {root}{''.join(steps)} }}}}", ROOTS, st.lists(STEPS, max_size=6))
BLOCKS = st.sampled_from(
    [
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os.environ }}",
        "{% extends '/etc/passwd' %}",
        "{% for x in self %}{{ x }}{% endfor %}",
        "{% macro m() %}{{ caller() }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m.__globals__ }}",
        "{% set x = cycler.__init__ %}{{ x }}",
        "{{ '%s' % (range.__class__,) }}",
    ]
)


@settings(max_examples=150, deadline=None)
@given(template=st.lists(CHAINS | BLOCKS | st.text(max_size=10), min_size=1, max_size=3).map("".join))
def test_no_template_reaches_the_environment_the_file_system_or_a_class(template: str) -> None:
    if faults := template_faults(template, ["text", "tags"]):
        shown = faults[0]
    else:
        os.environ["BATCHLINE_SECRET_OF_A_TEST"] = SECRET
        try:
            shown = template_of(template)({"text": "fine", "tags": [{"name": "drama"}]})
        except Unrenderable as error:
            shown = str(error)
        finally:
            del os.environ["BATCHLINE_SECRET_OF_A_TEST"]
    for told in (SECRET, "root:x:", "<class 'str'", "<class 'list'", "<class 'object'", "<module", "mappingproxy"):
        assert told not in shown, template


EVENT: dict[str, Any] = {
    "batch_key": KEY,
    "pipeline": "pipe",
    "statement": "sentiments",
    "provider": "openai",
    "account": "openai:OPENAI_API_KEY@api.openai.com",
    "model": "gpt-5-mini",
    "provider_batch_id": "batch_abc123",
    "generation": 0,
    "requests": 3,
    "records": 3,
    "bytes": 900,
    "spool": f"pipe/sentiments/batches/{KEY}",
    "sealed_at": NOW,
    "submitted_at": NOW,
}


FIELDS = st.sampled_from([*BatchEvent.model_fields]) | st.text(max_size=6)


@settings(max_examples=300, deadline=None)
@given(changes=st.dictionaries(FIELDS, VALUES | NAMES, max_size=4))
def test_an_event_is_one_of_this_very_batch_or_skipped(changes: dict[str, Any]) -> None:
    found = read_event(KEY.encode(), orjson.dumps({**EVENT, **changes}))
    if isinstance(found, Skip):
        assert changes
    else:
        assert (found.batch_key, found.spool) == (KEY, f"{found.pipeline}/{found.statement}/batches/{KEY}")
        assert set(found.pipeline + found.statement + found.provider_batch_id).isdisjoint("/\\\0\n? ")


TIMES = VALUES | st.integers(-(2**70), 2**70) | st.floats()
REMOTE: dict[str, Any] = {
    "id": "batch_1",
    "status": "completed",
    "created_at": 1_780_000_000,
    "expires_at": 1_780_086_400,
    "completed_at": 1_780_003_600,
    "failed_at": None,
    "expired_at": None,
    "cancelled_at": None,
    "input_file_id": "file-1",
    "output_file_id": "file-2",
    "error_file_id": "",
    "metadata": {"batch_key": KEY},
    "errors": None,
    "request_counts": None,
}
ERRORS = st.fixed_dictionaries({"data": VALUES | st.lists(SAID, max_size=2)})


@settings(max_examples=300, deadline=None)
@given(changes=st.dictionaries(st.sampled_from([*REMOTE]), TIMES | VALUES | ERRORS, max_size=2))
def test_what_a_provider_says_of_a_batch_is_read_or_can_t_be_and_is_no_fault_of_the_disk(
    changes: dict[str, Any],
) -> None:
    try:
        with judged(lambda: NOW):
            found = remote(OpenAiBatch.construct(**{**REMOTE, **changes}))
    except ProviderError:
        assert changes
    else:
        assert found.created_at.tzinfo is UTC
