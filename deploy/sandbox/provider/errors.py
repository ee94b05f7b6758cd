"""What goes wrong in a call, and the body in which each provider says so."""

from dataclasses import dataclass, field
from typing import Any

OPENAI_TYPES = {401: "invalid_request_error", 403: "permission_error", 429: "requests", 500: "server_error"}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(eq=False)
class ProviderError(Exception):
    """A call is refused: HTTP status, message, and what the provider's error object carries beside them."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


class ConnectionCut(Exception):
    """No answer at all: the handler did (or will do) its work, the client sees a reset."""


def openai_error(error: ProviderError) -> dict[str, Any]:
    """Return OpenAI's error body (SDK `_exceptions.APIError`: message, type, param, code)."""
    default = OPENAI_TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    return {
        "error": {
            "message": error.message,
            "type": error.type or default,
            "param": error.param,
            "code": error.code,
        }
    }


def anthropic_error(error: ProviderError, request_id: str) -> dict[str, Any]:
    """Return Anthropic's error body (SDK `types/shared/error_response.py`)."""
    default = ANTHROPIC_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": error.type or default, "message": error.message},
        "request_id": request_id,
    }
