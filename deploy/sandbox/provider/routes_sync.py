"""The synchronous endpoints: chat completions, responses, embeddings, moderations, messages."""

import asyncio
import time
from typing import Any

from starlette.responses import Response

from deploy.sandbox.provider.answers import WORDLESS, Answer, answer, prompt_hash, spoilt, wordless
from deploy.sandbox.provider.asks import Ask, ask_of
from deploy.sandbox.provider.calls import Call, Handler, JsonResponse
from deploy.sandbox.provider.errors import ConnectionCut, ProviderError
from deploy.sandbox.provider.lines import cache_use, openai_body
from deploy.sandbox.provider.processing import body_hash
from deploy.sandbox.provider.shapes import choices, message, plain
from deploy.sandbox.provider.store import new_id
from deploy.sandbox.provider.vocabulary import Occasion

SPOILING = (
    "refusal",
    "cut_at_max_tokens",
    "packed_spoilt",
    "schema_broken",
    "several_output_items",
    "unicode_separators",
)


def _refuse_stream(body: dict[str, Any]) -> None:
    if body.get("stream"):
        raise ProviderError(400, "The sandbox answers at once: 'stream' is not supported.", param="stream")


async def _answer(call: Call, body: dict[str, Any], ask: Ask) -> Answer:
    """Answer in a thread: the model's work must not hold up the other calls."""
    faults = call.engine.faults.draw_all(Occasion.LINE, call.endpoint, call.key)
    errored = faults.get("line_errored")
    if errored is not None:
        raise ProviderError(errored["status"], errored["message"], code=errored["code"], type=errored["type"])
    told = await asyncio.to_thread(answer, ask, call.engine.dictated.get(body_hash(body)))
    for fault in SPOILING:
        if fault in faults:
            return spoilt(told, fault, faults[fault])
    return told


async def _billed(call: Call, body: dict[str, Any], ask: Ask, told: Answer) -> None:
    copies = choices(ask, told) if call.endpoint == "openai.chat.completions" else 1
    call.engine.log.write(
        "sync",
        endpoint=call.endpoint,
        provider=call.provider,
        body=body_hash(body),
        prompt=prompt_hash(ask.prompt),
        input_tokens=told.input_tokens,
        output_tokens=told.output_tokens * copies,
    )
    lost = call.fault("sync_answer_lost")
    if lost is not None:
        await asyncio.sleep(lost["hang"])
        raise ConnectionCut


def openai(endpoint: str) -> Handler:
    """Return the handler of one of OpenAI's endpoints."""

    async def handle(call: Call) -> Response:
        body = await call.json()
        _refuse_stream(body)
        ask = ask_of(endpoint, body)
        told = wordless(endpoint, ask) if endpoint in WORDLESS else await _answer(call, body, ask)
        await _billed(call, body, ask, told)
        answered = openai_body(endpoint, body, ask, told, new_id(""), int(time.time()))
        return JsonResponse(plain(answered) if call.engine.limits.openai_plain else answered)

    return handle


async def messages(call: Call) -> Response:
    body = await call.json()
    _refuse_stream(body)
    ask = ask_of("/v1/messages", body)
    told = await _answer(call, body, ask)
    await _billed(call, body, ask, told)
    return JsonResponse(message(ask, told, new_id(""), cache_use(ask, call.engine.prompts)))
