"""The oracle: what the sink's readers see, held against the provider's own log. Our store is asked for its ledger only.

I1 each record comes out once · I2 none is accepted or billed twice · I3 its answer is its own · I4 the counts add up,
and the ledger is the provider's bill · I5 all of it within a bound · I6 no secret is anywhere.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import orjson
from confluent_kafka import Message

from deploy.sandbox.provider.witness import Billed, Witness
from shared.causes import Cause
from shared.keys import generation, parse_custom_id
from shared.messages import Header
from shared.providers.prices import cost
from tests.chaos.case import Case, Verdict
from tests.chaos.draft import text_of
from tests.chaos.readers import read_to_the_end
from tests.chaos.secrets import LEAKS, leaks
from tests.chaos.steps import Excuse

if TYPE_CHECKING:
    from tests.chaos.world import World

UNREADABLE = frozenset({"line_malformed", "results_deleted", "download_cut"})
"""Faults after which the provider may bill an answer that nobody could read: the ledger is then the smaller one."""
_LEDGER = """SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cost_usd),
    sum(CASE WHEN records <> succeeded + failed + carried THEN 1 ELSE 0 END),
    sum(succeeded), sum(failed) FROM batches"""
_STRAYS = "SELECT provider_batch_id, input_tokens, output_tokens FROM strays WHERE whose = 'ours'"
_DAYS = "SELECT sum(spent_usd), sum(reserved_usd) FROM charges"
_UNKNOWN = "SELECT coalesce(sum(unknown_calls), 0) FROM batches"
_BY_ROAD = "SELECT mode, sum(input_tokens), sum(output_tokens) FROM batches GROUP BY mode"
"""A synchronous call has its full price."""


@dataclass(frozen=True)
class Output:
    """One record as it came out."""

    number: int
    answer: str | None
    cause: str | None
    """Of a failed one."""
    request: str | None
    position: str | None

    @classmethod
    def of(cls, message: Message) -> "Output":
        value = orjson.loads(message.value() or b"null")
        headers = dict(message.headers() or [])
        said = {name: _text(headers.get(name)) for name in (Header.STATUS, Header.ERROR, Header.REQUEST)}
        failed = said[Header.STATUS] != "succeeded"
        cause = (said[Header.ERROR] or "unknown").partition(":")[0] if failed else None
        return cls(
            int(value["review_id"]), value["answer"], cause, said[Header.REQUEST], _text(headers.get(Header.POSITION))
        )


def judge(world: "World", seconds: float, stuck: str = "") -> Verdict:
    """The verdict on a run; its lives may be alive still. `stuck` says why it did not come to its end."""
    case, records = world.case, world.pipeline.records
    topics = {world.answers_topic: 1, world.batches_topic: 1, world.progress_topic: 2}
    messages = read_to_the_end(world.slot.consumer, topics, at_least={world.answers_topic: records})
    outputs = [Output.of(message) for message in messages if message.topic() == world.answers_topic]
    witness = world.provider.witness()
    known = detected(world)
    out = Counter(output.number for output in outputs)
    paid = billed_twice(witness, calls_in_doubt=int(world.census.number(_UNKNOWN)), but_not=known)
    lost = [number for number in range(records) if not out[number]]
    twice = [number for number, count in out.items() if count > 1]
    accepted, struck = accepted_twice(witness, known), world.failpoints.struck
    # A case of kills alone has all that leads to them; among the faults of a schedule one may not come about.
    missed = [] if case.steps else case.kills[struck:]
    found = [
        *(f"the kill at {kill.failpoint} never struck" for kill in missed),
        *(f"I1 lost: {len(lost)} records, such as {lost[:5]}" for _ in lost[:1]),
        *(f"I1 published twice: {twice[:5]}" for _ in twice[:1]),
        *(f"I1 nobody asked for {number}" for number in out if not 0 <= number < records),
        *(f"I2 accepted twice: {one}" for one in accepted),
        *(f"I2 planned twice: {one}" for one in generations_twice(witness)),
        *(f"I2 billed twice: {text}" for text in paid),
        *foreign(outputs),
        *unexcused(outputs, case.excuses, world.pipeline.empty),
        *(ledger(world, witness, len(out), known) if not lost else []),
        *(f"I5 not at its end after {why}" for why in [stuck] if why),
        *(f"I6 a key stands in {place}" for place in leaks(world.folder, [world.provider.directory], messages)),
        *(f"I6 a key stands in {column}" for column in LEAKS.in_tables(world.store)),
    ]
    return Verdict(
        case,
        tuple(found),
        records,
        world.kills,
        case.kills[:struck],
        len(lost),
        len({*paid, *accepted}),
        len(twice),
        seconds,
        0.0,
        tuple(world.notes),
    )


def detected(world: "World") -> dict[str, tuple[int, int]]:
    """The second creates that were found, and what each cost in tokens, of a case whose creates are hidden too long.

    Elsewhere none is expected: one that were there, though found, is a violation.
    """
    rows = world.census.ask(_STRAYS) if world.case.is_hidden else []
    return {name: (int(used), int(told)) for name, used, told in rows}


def billed_twice(
    witness: Witness, *, calls_in_doubt: int = 0, but_not: Container[str | None] = frozenset()
) -> list[str]:
    """The prompts (by digest) whose answers were billed more than once: each record's is its own.

    A synchronous call that was cut short is made again, and may be paid for each time: its stated residual. As many
    are allowed as are counted in doubt.
    """
    entries = [entry for entry in bill(witness) if entry.batch not in but_not]
    again = repeated_calls(entries)
    residual = {entry.prompt for entry in again} if len(again) <= calls_in_doubt else set()
    billed = Counter(entry.prompt for entry in entries if not (entry.batch is None and entry.prompt in residual))
    in_batches = {entry.prompt for entry in entries if entry.batch is not None}
    return sorted({prompt for prompt, count in billed.items() if count > 1} | (residual & in_batches))


def repeated_calls(entries: Iterable[Billed]) -> list[Billed]:
    """Of the synchronous calls that were billed, all but the first of each prompt."""
    count: Counter[str] = Counter()
    again = []
    for entry in entries:
        if entry.batch is None:
            count[entry.prompt] += 1
            if count[entry.prompt] > 1:
                again.append(entry)
    return again


def bill(witness: Witness) -> Iterator[Billed]:
    """What was billed to us: a batch in which no request has a name of ours is a stranger's."""
    return (entry for entry in witness.billed() if entry.custom_id is None or parse_custom_id(entry.custom_id))


def accepted_twice(witness: Witness, but_not: Container[str] = frozenset()) -> list[str]:
    """The custom_ids that were accepted again though the first acceptance had not ended with nothing billed for them.

    A custom_id names a record and its generation. A request that is known to have had no effect may be sent again.
    """
    ended = {event["batch"]: event["at"] for event in witness.events("ended")}
    billed = {(entry.batch, entry.custom_id) for entry in witness.billed()}
    created = {event["batch"]: event["at"] for event in witness.events("create")}
    accepted: dict[str, list[str]] = defaultdict(list)
    for batch, custom_id, _ in witness.requests():
        if parse_custom_id(custom_id) and batch not in but_not:
            accepted[custom_id].append(batch)
    return sorted(
        custom_id
        for custom_id, batches in accepted.items()
        for first, second in pairwise(batches)
        if (first, custom_id) in billed or ended.get(first, created[second]) >= created[second]
    )


def generations_twice(witness: Witness) -> list[str]:
    """The bodies that were accepted under two keys of one generation: a record that was planned twice."""
    keys: dict[tuple[str, int], set[str]] = defaultdict(set)
    for _, custom_id, body in witness.requests():
        request = parse_custom_id(custom_id)
        if request:
            keys[body, generation(request.batch_key)].add(custom_id)
    return sorted(" and ".join(sorted(ids)) for ids in keys.values() if len(ids) > 1)


def foreign(outputs: Sequence[Output]) -> Iterator[str]:
    """Answers and positions that belong to other records."""
    for output in outputs:
        digest = sha256(text_of(output.number).encode()).hexdigest()
        if output.cause is None and not (output.answer or "").startswith(f"sha256={digest} "):
            yield f"I3 record {output.number} has the answer {output.answer!r:.90}"
        if not (output.position or "").endswith(f"/0/{output.number}"):
            yield f"I3 record {output.number} says that it stood at {output.position}"


def unexcused(outputs: Sequence[Output], excuses: Sequence[Excuse], empty: Container[int]) -> Iterator[str]:
    """Records that came out failed, beyond what the case allows."""
    left = {excuse: excuse.at_most for excuse in excuses}
    for output in outputs:
        if output.cause is None or (output.number in empty and output.cause == Cause.NULL_INPUT):
            continue
        text = text_of(output.number)
        fits = (e for e, n in left.items() if n > 0 and e.cause == output.cause and (e.containing or "") in text)
        excuse = next(fits, None)
        if excuse is None:
            yield f"I1 record {output.number} failed: {output.cause}"
        else:
            left[excuse] -= 1


def ledger(world: "World", witness: Witness, records: int, strays: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Where our counts don't add up, or our bill is not the provider's: that of second creates stands by itself."""
    (batches, used, told, paid, unbalanced, succeeded, failed) = world.census.ask(_LEDGER)[0]
    if unbalanced:
        yield f"I4 {unbalanced} of {batches} batches are out of balance"
    if (succeeded or 0) + (failed or 0) != records:
        yield f"I4 the store has {succeeded} + {failed} records out, the topic {records}"
    entries = list(bill(witness))
    for name, known in strays.items():
        billed = _tokens(entry for entry in entries if entry.batch == name)
        if billed != known:
            yield f"I4 the provider billed {billed} tokens for the second create {name}, the store has {known}"
    # Of a call that was made again only the answer that was seen is in the ledger.
    again = {id(entry) for entry in repeated_calls(entries)}
    theirs = _tokens(entry for entry in entries if entry.batch not in strays and id(entry) not in again)
    ours = (int(used or 0), int(told or 0))
    if ours != theirs and (not _is_unreadable(world.case) or ours > theirs):
        yield f"I4 the provider billed {theirs} tokens, the ledger has {ours}"
    model = world.pipeline.model()
    owed = 0.0
    for mode, asked, answered in world.census.ask(_BY_ROAD):
        price = cost(model.provider, model.model, int(asked or 0), int(answered or 0))
        if price is not None:
            owed += price.sync_usd if mode == "sync" else price.batch_usd
    if abs(float(paid or 0) - owed) > 1e-6:
        yield f"I4 {ours} tokens cost {owed} USD, the ledger has {paid}"
    spent, reserved = (float(usd or 0) for usd in world.census.ask(_DAYS)[0])
    if abs(spent - float(paid or 0)) > 1e-6 or reserved > 1e-9:
        yield f"I4 the batches cost {paid} USD, and of the days {spent} are spent and {reserved} reserved"


def _tokens(entries: Iterable[Billed]) -> tuple[int, int]:
    used = told = 0
    for entry in entries:
        used, told = used + entry.input_tokens, told + entry.output_tokens
    return used, told


def _is_unreadable(case: Case) -> bool:
    names = {rule.fault for rule in case.rules} | {str(step.given().get("fault")) for step in case.steps}
    return bool(names & UNREADABLE)


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
