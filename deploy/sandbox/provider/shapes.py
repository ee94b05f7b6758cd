"""Answers in the providers' own shapes, as the SDKs' types read them. Pure."""

from dataclasses import replace
from typing import Any

import orjson

from deploy.sandbox.provider.answers import Answer, embedding, embedding_base64, prompt_tokens, tokens
from deploy.sandbox.provider.asks import Ask

Json = dict[str, Any]


def _chat_message(ask: Ask, answer: Answer, ident: str) -> Json:
    message: Json = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.refused:
        return message | {"content": None, "refusal": answer.text}
    if ask.tool:
        call = {"id": f"call_{ident}", "type": "function", "function": {"name": ask.tool, "arguments": answer.text}}
        return message | {"content": None, "tool_calls": [call]}
    return message


def choices(ask: Ask, answer: Answer) -> int:
    """How many answers a chat completion holds; each costs its tokens."""
    return max(ask.choices, 2 if answer.several else 1)


def chat_completion(ask: Ask, answer: Answer, ident: str, created: int) -> Json:
    """`openai.types.chat.ChatCompletion`; several output items are several choices, of which the first is cut short."""
    message = _chat_message(ask, answer, ident)
    reason = "length" if answer.cut else "tool_calls" if ask.tool and not answer.refused else "stop"
    count = choices(ask, answer)
    choice = {"message": message, "logprobs": None, "finish_reason": reason}
    output_tokens = answer.output_tokens * count
    return {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion",
        "created": created,
        "model": ask.model,
        "choices": [{"index": index, **choice} for index in range(count)],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": answer.input_tokens + output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


def plain(completion: Json) -> Json:
    """Return a completion as servers of one's own give it: no usage, nothing of an account, JSON in a text fence."""
    text = completion["choices"][0]["message"]["content"] or ""
    fenced = f"```json\n{text}\n```" if text.startswith("{") else text
    choice = {"index": 0, "message": {"role": "assistant", "content": fenced}, "finish_reason": "stop"}
    return {"id": completion["id"], "model": completion["model"], "choices": [choice]}


def _output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_output(answer: Answer, ident: str) -> list[Json]:
    reasoning: Json = {"id": f"rs_{ident}", "type": "reasoning", "summary": []}
    status = "incomplete" if answer.cut else "completed"
    content = [{"type": "refusal", "refusal": answer.text}] if answer.refused else [_output_text(answer.text)]
    message: Json = {"id": f"msg_{ident}", "type": "message", "status": status, "role": "assistant"}
    if answer.after_fragment:
        fragment = message | {"id": f"msg_{ident}a", "content": [_output_text(answer.text[: len(answer.text) // 2])]}
        return [fragment, message | {"content": content}]
    if not answer.several:
        return [message | {"content": content}]
    half = len(answer.text) // 2
    first, second = _output_text(answer.text[:half]), _output_text(answer.text[half:])
    return [reasoning, message | {"content": [first]}, message | {"id": f"msg_{ident}b", "content": [second]}]


def response(ask: Ask, answer: Answer, ident: str, created: int) -> Json:
    """`openai.types.responses.Response`; several output items: a reasoning item and two halves of the text."""
    return {
        "id": f"resp_{ident}",
        "object": "response",
        "created_at": created,
        "status": "incomplete" if answer.cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if answer.cut else None,
        "instructions": ask.system or None,
        "max_output_tokens": ask.max_tokens,
        "metadata": {},
        "model": ask.model,
        "output": _response_output(answer, ident),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "text": {"format": {"type": "json_schema" if ask.schema else "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }


def embeddings(body: Json, ask: Ask) -> Json:
    """`openai.types.CreateEmbeddingResponse`; a list of token numbers is an input too."""
    content = body["input"]
    inputs = [content] if isinstance(content, str) or (content and isinstance(content[0], int)) else content
    dimensions = body.get("dimensions") or (3072 if "large" in ask.model else 1536)
    encode: Any = embedding_base64 if body.get("encoding_format") == "base64" else embedding
    data = [
        {"object": "embedding", "index": index, "embedding": encode(str(text), dimensions)}
        for index, text in enumerate(inputs)
    ]
    used = prompt_tokens(ask)
    return {
        "object": "list",
        "data": data,
        "model": ask.model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _blocks(ask: Ask, answer: Answer, ident: str) -> list[Json]:
    if answer.refused:
        return []
    if ask.thinks:
        thought = {"type": "thinking", "thinking": f"About {ask.prompt[:20]} …", "signature": f"sig_{ident}"}
        return [thought, *_blocks(replace(ask, thinks=False), answer, ident)]
    if ask.tool:
        # A cut tool call arrives with what could be parsed of its input.
        value = {} if answer.cut or not answer.text.startswith("{") else orjson.loads(answer.text)
        return [{"type": "tool_use", "id": f"toolu_{ident}", "name": ask.tool, "input": value}]
    if not answer.several:
        return [{"type": "text", "text": answer.text, "citations": None}]
    half = len(answer.text) // 2
    parts = (answer.text[:half], answer.text[half:])
    return [{"type": "text", "text": part, "citations": None} for part in parts]


def _input_usage(ask: Ask, answer: Answer, cache: str) -> Json:
    """The tokens that went in: those of a prompt cache are counted apart."""
    kept = tokens(ask.cache[2]) if ask.cache and cache else 0
    is_hour = ask.cache is not None and ask.cache[1] == "1h"
    written = kept if cache == "write" else 0
    return {
        "input_tokens": answer.input_tokens - kept,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": kept - written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if is_hour else written,
            "ephemeral_1h_input_tokens": written if is_hour else 0,
        },
    }


def message(ask: Ask, answer: Answer, ident: str, cache: str = "") -> Json:
    """`anthropic.types.Message`; `cache` says whether its prompt's cache was written or read."""
    reason = "refusal" if answer.refused else "max_tokens" if answer.cut else "tool_use" if ask.tool else "end_turn"
    details = {"type": "refusal", "category": None, "explanation": answer.text} if answer.refused else None
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": _blocks(ask, answer, ident),
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": details,
        "usage": {
            **_input_usage(ask, answer, cache),
            "output_tokens": answer.output_tokens,
            "service_tier": "batch",
        },
    }
