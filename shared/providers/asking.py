"""One request of a batch at a synchronous endpoint: the call itself, and its outcome as the batch's line of results."""

from typing import Any

import httpx2
import orjson

from shared.errors import NotFound, ProviderError, Rejected, Unknown
from shared.providers.session import timeout

_ID = "x-request-id"


def post(client: Any, path: str, body: Any, seconds: float) -> tuple[dict[str, Any], str]:
    """POST a request's body once; gives the answer's body and the provider's name for the call.

    Raises whatever the SDK raises, and Unknown for an answer that is no JSON object, such as a gateway's page.
    """
    # For this type both SDKs give back the response itself, its body read: the answer is kept as it came.
    response: httpx2.Response = client.post(
        path,
        content=orjson.dumps(body),
        cast_to=httpx2.Response,
        options={"headers": {"Content-Type": "application/json"}, "timeout": timeout(seconds)},
    )
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise Unknown(f"an answer that can't be read: {response.text[:200]}")
    return answer, response.headers.get(_ID, "")


def openai_answered(custom_id: str, answer: dict[str, Any], call: str) -> bytes:
    """An answer as a line of OpenAI's output file."""
    return _openai(custom_id, 200, call, answer)


def openai_failed(custom_id: str, error: ProviderError) -> bytes:
    """A call's failure as a line of OpenAI's error file; 0 stands for no status, as there."""
    return _openai(custom_id, error.status or 0, "", {"error": {"code": error.code, "message": _said(error)}})


def anthropic_answered(custom_id: str, answer: dict[str, Any]) -> bytes:
    """An answer as a line of Anthropic's results."""
    return _line(custom_id, {"result": {"type": "succeeded", "message": answer}})


def anthropic_failed(custom_id: str, error: ProviderError) -> bytes:
    """A call's failure as a line of Anthropic's results; what is not the request's own fault may be tried again."""
    kind = "invalid_request_error" if isinstance(error, Rejected | NotFound) else "api_error"
    said = {"type": kind, "message": _said(error), "details": {"error_code": error.code}}
    return _line(custom_id, {"result": {"type": "errored", "error": {"type": "error", "error": said}}})


def _openai(custom_id: str, status: int, call: str, body: dict[str, Any]) -> bytes:
    return _line(custom_id, {"response": {"status_code": status, "request_id": call, "body": body}, "error": None})


def _line(custom_id: str, rest: dict[str, Any]) -> bytes:
    return orjson.dumps({"custom_id": custom_id, **rest}) + b"\n"


def _said(error: ProviderError) -> str:
    """The provider's own message: the ladder puts status and code before it, and so does who reads the line."""
    return str(error).removeprefix(f"{error.status} {error.code or ''}".strip() + ": ")
